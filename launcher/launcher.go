// Package launcher starts, lists and stops virtual machines, each with a
// routed address of its own. It is what the kvmrun command is made of.
//
// A VM consists of a QEMU process, a supervisor process that looks after it,
// the host's network for its address (package netplumb), and a folder below
// the run directory (package vmdir). Nothing in the calling process's memory
// matters: any process with the same run directory sees the same VMs.
package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"kvmrun/launcher/vmdir"
)

// DefaultData is where kvmrun keeps what must survive a reboot.
const DefaultData = "/var/lib/kvmrun"

// Options say where a Launcher works. Zero fields take the defaults.
type Options struct {
	RunDir  string // vmdir.DefaultRun
	DataDir string // DefaultData
	// Executable is the path of the kvmrun that supervises VMs. If it is empty
	// this is the running one itself, whatever lies at its path by now.
	Executable string
	UIDs       UIDs
}

// Launcher is a handle on one run directory. It holds no resources.
type Launcher struct {
	root vmdir.Root
	data string
	exe  string
	uids UIDs
}

// New makes a Launcher. Nothing is created until a VM is started. A run directory
// that is no directory is an error of KindStorage.
func New(o Options) (*Launcher, error) {
	setDefault(&o.RunDir, vmdir.DefaultRun)
	setDefault(&o.DataDir, DefaultData)
	setDefault(&o.UIDs, DefaultUIDs)
	if !o.UIDs.valid() {
		return nil, fail(KindUsage, "give a range above 0", "%s is no range of user IDs", o.UIDs)
	}
	run, err := fromHere(o.RunDir)
	if err != nil {
		return nil, err
	}
	root, err := vmdir.At(run)
	if err != nil {
		return nil, err
	}
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	data, err := fromHere(o.DataDir)
	if err != nil {
		return nil, err
	}
	return &Launcher{root: root, data: data, exe: o.Executable, uids: o.UIDs}, nil
}

// requireRoot fails for whoever could not set up the host's network anyway.
func requireRoot(what string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fail(KindPermission, "run it by sudo", "%s changes the host's network and needs root", what)
}

// checkRoot refuses a run directory that is a file, or lies below one. What else is
// wrong with it depends on what it is wanted for.
func checkRoot(root vmdir.Root) error {
	info, err := os.Stat(root.Path)
	if errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return fail(KindStorage, "choose another by --run-dir", "the run directory %s is not a directory", root.Path)
	}
	return nil
}

// makeRoot creates the run directory and says what is wrong with it if it
// cannot be written.
func (l *Launcher) makeRoot() error {
	_, err := vmdir.Open(l.root.Path)
	if err == nil {
		return nil
	}
	return &Error{Kind: KindStorage, Err: err, Advice: "choose another by --run-dir"}
}

// dir is the folder of a VM that must exist.
func (l *Launcher) dir(name string) (vmdir.Dir, error) {
	if err := CheckName(name); err != nil {
		return vmdir.Dir{}, err
	}
	d := l.root.Dir(name)
	_, err := os.Lstat(d.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, noSuchVM(name)
	case errors.Is(err, fs.ErrPermission):
		return d, &Error{Kind: KindPermission, Err: fmt.Errorf("VM %s: %w", name, err), Advice: "run it by sudo"}
	}
	return d, err
}

func noSuchVM(name string) error {
	return fail(KindNotFound, "see kvmrun list -a", "there is no VM %s", name)
}
