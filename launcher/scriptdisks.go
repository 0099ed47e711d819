package launcher

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"kvmrun/images"
	"kvmrun/launcher/disks"
	"kvmrun/launcher/qemu"
)

// scriptDisks is what a script does with the disks that are kept.
type scriptDisks struct {
	folder    string
	was, will string       // the record before and with the disks that are made; "" for none
	fresh     map[int]bool // the numbers of those that are made
	bases     []string     // what lies beneath these
	storeLock string
}

// planDisks says what a script does with the disks that are kept of a VM; nil if none
// are. It changes nothing.
func (l *Launcher) planDisks(s *Spec, kept disks.Record) (*scriptDisks, error) {
	if !s.KeepsDisks() {
		return nil, nil
	}
	p := &scriptDisks{folder: l.disks().Folder(s.Name), fresh: map[int]bool{}, storeLock: l.imageStore().LockFile()}
	if kept.Version > 0 {
		text, err := kept.Text()
		if err != nil {
			return nil, err
		}
		p.was = string(text)
	}
	will := kept
	will.UUID = s.UUID
	for i := range s.Disks {
		disk := &s.Disks[i]
		switch {
		case !disk.Kept():
		case kept.Find(i) == nil:
			p.fresh[i] = true
			p.bases = append(p.bases, disk.Base)
			will = will.With(disks.Disk{Number: i, Image: disk.Image, Digest: disk.Digest, Ran: true})
		default:
			if err := checkSize(s, disk, false); err != nil {
				return nil, err
			}
		}
	}
	text, err := will.Text()
	p.will = string(text)
	return p, err
}

// openPlanned opens the chain of a disk for a script, of one that the script makes what
// will lie beneath it.
func (p *scriptDisks) openPlanned(number int, disk Disk, allowBacking bool) (*images.Chain, error) {
	if p != nil && p.fresh[number] {
		disk = Disk{Path: disk.Base, Format: images.QCOW2, Ephemeral: true}
	}
	return OpenDisk(disk, allowBacking)
}

// keptDisks takes the lock of the VM's disks, for QEMU too, and has the record say which
// images are needed before there is an overlay.
func (w *scriptWriter) keptDisks(p *scriptDisks) {
	w.comment("the disks that are kept when the VM ends; kvmrun rm removes them. QEMU inherits their lock")
	folder, record := quote(p.folder), quote(filepath.Join(p.folder, "disks.json"))
	root := quote(filepath.Dir(p.folder))
	fmt.Fprintf(w, "mkdir -p %s %s\nchmod 0700 %s %s\n", root, folder, root, folder)
	lock := w.open("<", p.folder)
	or := func(why string) string { return fmt.Sprintf(" || { echo %s >&2; exit 1; }\n", quote(why)) }
	fmt.Fprintf(w, "flock -n %d && [ /proc/$$/fd/%d -ef %s ]%s", lock, lock, folder, or("the disks in "+p.folder+" are in use"))
	fmt.Fprintf(w, "[ \"$(cat %s 2>/dev/null)\" = %s ]%s", record, quote(strings.TrimSuffix(p.was, "\n")),
		or("the disks in "+p.folder+" are not what they were when this was planned"))
	if len(p.fresh) == 0 {
		return
	}
	fmt.Fprintln(w, "(\n    flock 9 # image rm waits meanwhile")
	for _, base := range p.bases {
		fmt.Fprintf(w, "    [ -e %s ]%s", quote(base), or("image rm was quicker"))
	}
	fresh := quote(filepath.Join(p.folder, ".disks.json.new"))
	fmt.Fprintf(w, "    cat >%s <<'.'\n%s.\n    sync %s\n    mv %s %s\n) 9>>%s\n", fresh, p.will, fresh, fresh, record, quote(p.storeLock))
}

// overlay makes a kept disk, or gives it the size that it is to have.
func (w *scriptWriter) overlay(p *scriptDisks, disk Disk, chain *images.Chain, n int) []qemu.Layer {
	path := quote(disk.Path)
	if !p.fresh[n] {
		if disk.Size > chain.VirtualSize() {
			fmt.Fprintf(w, "qemu-img resize -q %s %d\n", quote(explicit(disk, len(chain.Layers) > 1)), disk.Size)
		}
		return nil
	}
	fmt.Fprintf(w, "qemu-img create -q -f qcow2 -b %s -F qcow2 %s %d\n", quote(disk.Base), path, max(disk.Size, chain.VirtualSize()))
	return []qemu.Layer{{Source: w.source("<>", disk.Path), Format: string(images.QCOW2)}}
}

// explicit names a kept disk and what lies beneath it for qemu-img, which shall not open
// what the disk's header names: a guest that broke out of QEMU may have written it.
func explicit(disk Disk, backed bool) string {
	type node struct {
		Driver  string `json:"driver"`
		File    any    `json:"file"`
		Backing *node  `json:"backing,omitempty"`
	}
	file := func(path string) any { return map[string]string{"driver": "file", "filename": path} }
	all := node{"qcow2", file(disk.Path), nil}
	if backed {
		all.Backing = &node{"qcow2", file(disk.Base), nil}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // strings always marshal
	}
	return "json:" + string(text)
}
