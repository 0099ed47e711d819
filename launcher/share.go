package launcher

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"kvmrun/launcher/qemu"
)

// Share is a folder of the host's in which the guest may read and write, as root.
type Share struct {
	Folder string `json:"folder"`
	Tag    string `json:"tag"` // by which the guest mounts it: mount -t virtiofs TAG DIR
}

// shareTag is what a tag may be. The device has room for 36 bytes (virtio 1.2, 5.11.4).
var shareTag = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}$`)

// ParseShare reads FOLDER:TAG.
func ParseShare(text string) (Share, error) {
	colon := strings.LastIndexByte(text, ':')
	if colon < 1 {
		return Share{}, fail(KindUsage, "write it like /srv/data:data", "--share %.80q is not a folder and a tag", text)
	}
	return Share{Folder: text[:colon], Tag: text[colon+1:]}, nil
}

func (s *Spec) checkShares() error {
	seen := make(map[string]bool)
	for _, share := range s.Shares {
		switch {
		case s.Machine == qemu.MicroVM:
			return fail(KindUsage, "use --machine q35, or leave --share out", "microvm has no place for a shared folder")
		case !shareTag.MatchString(share.Tag):
			return fail(KindUsage, "use up to 36 letters, digits, dashes, underscores and dots", "--share: %.60q is not a tag", share.Tag)
		case seen[share.Tag]:
			return fail(KindUsage, "give each folder a tag of its own", "--share: the tag %s is there twice", share.Tag)
		case strings.ContainsAny(share.Folder, ",\\\n"):
			return fail(KindUsage, "give it another name, or bind-mount it at one", "--share: virtiofsd takes no folder with a comma, backslash or new line in its name: %q", share.Folder)
		}
		seen[share.Tag] = true
	}
	return nil
}

// findShares makes paths absolute and looks at what they name, and for who serves them.
func (d *draft) findShares() error {
	if len(d.spec.Shares) == 0 {
		return nil
	}
	if _, err := FindVirtiofsd(); err != nil {
		return err
	}
	own := append([]Share(nil), d.spec.Shares...) // the caller keeps its own
	d.spec.Shares = own
	for i := range own {
		if err := absolute(&own[i].Folder); err != nil {
			return err
		}
		info, err := os.Stat(own[i].Folder)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a folder", own[i].Folder)
		}
		if err != nil {
			return fail(KindUsage, "name a folder of this host's", "--share: %w", err)
		}
	}
	return d.spec.checkShares() // of the working directory's name, too
}

// virtiofsds are where distributions put it: of a package of its own, and of QEMU's up to
// 7.2. It is in nobody's PATH as a rule.
var virtiofsds = []string{"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "virtiofsd"}

// FindVirtiofsd is the path of the program that serves shared folders.
func FindVirtiofsd() (string, error) {
	for _, program := range virtiofsds {
		if path, err := exec.LookPath(program); err == nil {
			return path, nil
		}
	}
	return "", fail(KindHost, "install it (Debian 12: apt install qemu-system-common; later ones: apt install virtiofsd), or leave --share out",
		"virtiofsd is not here, which serves shared folders")
}
