package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"kvmrun/images"
	"kvmrun/netplumb"
)

// Leftover is something of kvmrun's that nobody holds any more, or a VM that
// nobody looks after.
type Leftover struct {
	What string `json:"what"`
	// Action is what was done about it or, in a dry run, would be: ActionAdopt
	// and so on.
	Action string `json:"action"`
	Done   bool   `json:"done"`
	// Error says why it could not be done.
	Error string `json:"error,omitempty"`
}

// What is done about a leftover.
const (
	ActionAdopt  = "adopt"  // a VM that runs gets a supervisor
	ActionBury   = "bury"   // what a dead VM has left on the host is undone
	ActionRemove = "remove" // nobody holds it
	ActionUndo   = "undo"   // a shared change, of which the old value returns with the last holder
	ActionLeave  = "leave"  // it bears kvmrun's marks, and no record says that kvmrun made it
)

// GCOptions say how far GC goes.
type GCOptions struct {
	// DryRun only looks.
	DryRun bool
	// Unrecorded also removes what bears kvmrun's marks without being recorded:
	// what is left when the run directory is lost and everything was killed. It
	// may be another's who uses the same marks.
	Unrecorded bool
	// Note is told what takes long. It may be nil.
	Note func(string)
}

func (o GCOptions) note(text string) {
	if o.Note != nil {
		o.Note(text)
	}
}

// GC finds what kvmrun has made and nobody holds, and removes it: VMs whose
// supervisor was killed are adopted, or undone if QEMU is gone as well; folders,
// leases, overlays, disks that no guest has run with and entries of the network's
// journal that belong to no VM go.
// Records of VMs that failed stay, with their logs. It goes on where something
// fails; the error joins all that did.
func (l *Launcher) GC(ctx context.Context, o GCOptions) ([]Leftover, error) {
	if err := requireRoot("gc"); err != nil {
		return nil, during("gc", err)
	}
	vms, err := l.adoptAll(ctx, o.DryRun)
	swept, err2 := l.sweep(ctx, o.DryRun)
	data, err3 := l.sweepData(o.DryRun)
	marked, err4 := l.sweepMarked(ctx, o)
	return slices.Concat(vms, swept, data, marked), during("gc", errors.Join(err, err2, err3, err4))
}

// attempt does something about a leftover, unless that is a dry run's.
func attempt(dryRun bool, what, action string, do func() error) (Leftover, error) {
	found := Leftover{What: what, Action: action}
	if dryRun {
		return found, nil
	}
	if err := do(); err != nil {
		found.Error = err.Error()
		return found, fmt.Errorf("%s %s: %w", action, what, err)
	}
	found.Done = true
	return found, nil
}

// adoptAll puts supervisors on all VMs that have none, side by side, and waits for
// what these do.
func (l *Launcher) adoptAll(ctx context.Context, dryRun bool) ([]Leftover, error) {
	alone, err := l.unattended()
	found := make([]Leftover, len(alone))
	errs := make([]error, len(alone)+1)
	errs[len(alone)] = err
	var all sync.WaitGroup
	for i, vm := range alone {
		action := ActionAdopt
		if vm.State == Dead || vm.State == Failed {
			action = ActionBury
		}
		all.Go(func() {
			found[i], errs[i] = attempt(dryRun, "VM "+vm.Name, action, func() error { return l.adopt(ctx, l.root.Dir(vm.Name)) })
		})
	}
	all.Wait()
	return found, errors.Join(errs...)
}

// sweep removes what belongs to no VM from the run directory and the network's
// journal. It holds the run directory's lock: no VM comes to be meanwhile, so
// what has no holder now gets none.
func (l *Launcher) sweep(ctx context.Context, dryRun bool) ([]Leftover, error) {
	if _, err := os.Lstat(l.root.Path); err != nil {
		return nil, ignoreGone(err)
	}
	guard, err := l.root.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = guard.Close() }()
	litter, err := l.root.Litter()
	errs := []error{err}
	var found []Leftover
	for _, path := range litter {
		one, err := attempt(dryRun, path, ActionRemove, func() error { return os.RemoveAll(path) })
		found, errs = append(found, one), append(errs, err)
	}
	orphans, err := l.sweepJournal(dryRun)
	return append(found, orphans...), errors.Join(append(errs, err)...)
}

// sweepJournal undoes shared changes on behalf of addresses that no VM has.
func (l *Launcher) sweepJournal(dryRun bool) ([]Leftover, error) {
	host, err := netplumb.OpenHost(l.root.Net())
	if err != nil {
		return nil, err
	}
	defer func() { _ = host.Close() }()
	orphans, err := host.Orphans(l.holders())
	errs := []error{err}
	var found []Leftover
	for _, o := range orphans {
		what := o.What
		if o.Holder.IsValid() {
			what += " for " + o.Holder.String()
		}
		one, err := attempt(dryRun, what, ActionUndo, func() error { return host.Release(o) })
		found, errs = append(found, one), append(errs, err)
	}
	return found, errors.Join(errs...)
}

// holders returns what tells whether an address is a VM's, by its lease or, should
// somebody have removed that, by its record. Of a record that cannot be read it is
// not known whose address it has: it may have any.
func (l *Launcher) holders() func(netip.Addr) bool {
	recorded := sync.OnceValues(l.recordedAddresses)
	return func(addr netip.Addr) bool {
		if l.root.Holder(leaseOfIP(addr)) != "" {
			return true
		}
		addresses, err := recorded()
		return err != nil || addresses[addr]
	}
}

// recordedAddresses are those of all VMs of which something may be left.
func (l *Launcher) recordedAddresses() (map[netip.Addr]bool, error) {
	names, err := l.root.Names()
	found := make(map[netip.Addr]bool, len(names))
	for _, name := range names {
		vm, err := l.look(l.root.Dir(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if vm.State != Failed || vm.Details.Leftover != "" {
			found[vm.Spec.Network.IP] = true
		}
	}
	return found, err
}

// sweepData removes what nobody holds of the data directory.
func (l *Launcher) sweepData(dryRun bool) ([]Leftover, error) {
	info, err := os.Stat(l.data)
	switch {
	case err != nil:
		return nil, ignoreGone(err)
	case !info.IsDir():
		return nil, fail(KindStorage, "choose another by --data-dir", "the data directory %s is not a directory", l.data)
	}
	overlays, err := l.sweepOverlays(dryRun)
	disks, err2 := l.sweepDisks(dryRun)
	return append(overlays, disks...), errors.Join(err, err2)
}

// sweepOverlays removes overlays whose makers were killed before they could take
// their names away. Whoever makes one at this moment does not need the name.
func (l *Launcher) sweepOverlays(dryRun bool) ([]Leftover, error) {
	entries, err := os.ReadDir(OverlayDir(l.data))
	errs := []error{ignoreGone(err)}
	var found []Leftover
	for _, e := range entries {
		if !e.Type().IsRegular() || !images.IsPassing(e.Name()) {
			continue
		}
		path := filepath.Join(OverlayDir(l.data), e.Name())
		one, err := attempt(dryRun, path, ActionRemove, func() error { return ignoreGone(os.Remove(path)) })
		found, errs = append(found, one), append(errs, err)
	}
	return found, errors.Join(errs...)
}

// OverlayDir is where the overlays of ephemeral disks lie in a data directory.
func OverlayDir(data string) string { return filepath.Join(data, "overlays") }

// tapOwner reads whose a tap is from its alias.
func tapOwner(alias string) (uuid string, ok bool) {
	words := strings.Fields(alias)
	if len(words) != 3 || words[0] != aliasWord {
		return "", false
	}
	return words[2], true
}
