package images

import "strings"

// notPlain says why a name from a header is no plain path; empty if it is one.
// QEMU takes a colon before the first slash for a protocol (nbd:…, json:{…}),
// through which an image could have QEMU connect or open anything.
func notPlain(name string) string {
	if strings.ContainsRune(name, 0) {
		return "has a NUL byte in its name"
	}
	if end := strings.IndexAny(name, ":/"); end >= 0 && name[end] == ':' {
		return "is not a plain path but asks for the protocol " + quote(name[:end])
	}
	return ""
}

// backingFormat turns what a header says into what to ask for. A header that
// says nothing can only mean qcow2, which proves itself by its content.
func backingFormat(stated Format) (Format, bool) {
	switch stated {
	case "", QCOW2:
		return QCOW2, true
	case Raw:
		return Raw, true
	}
	return "", false
}

// admit decides whether a backing file may be used: not one that is in the
// chain already, and none outside the folder. The place is where the located
// file really is, with no symbolic links left in it.
func (c *Chain) admit(n *node, folder string) error {
	for i := range c.Layers {
		if c.Layers[i].ID() == n.id() {
			return &Error{Path: n.path, Kind: ErrBacking, Detail: "it is in the chain already: the images form a loop",
				Advice: "set the right backing file with: qemu-img rebase -u"}
		}
	}
	if folder == "" {
		return nil
	}
	place, err := n.folder()
	if err != nil {
		return err
	}
	if n.device() || !within(place, folder) {
		return &Error{Path: n.path, Kind: ErrBacking,
			Detail: "it lies in " + quote(place) + ", outside the image's own folder " + quote(folder) +
				": an image from elsewhere could name any file of this host",
			Advice: "if you trust the image, say --allow-backing"}
	}
	return nil
}

// within says whether a folder, without symbolic links or a slash at its end,
// is the other or below it. Below the root are all files, so an image there has
// only its siblings: no path begins with two slashes.
func within(inner, outer string) bool {
	return inner == outer || strings.HasPrefix(inner, outer+"/")
}
