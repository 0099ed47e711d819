package launcher

import (
	"context"
	"errors"
	"syscall"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/netplumb"
)

// HomeInterval is how often a supervisor makes sure that its VM's folder is still
// there. One that vanished with the run directory is back within about that time.
const HomeInterval = 2 * time.Second

// sweepMarked deals with what bears kvmrun's marks and belongs to no VM that is
// recorded.
func (l *Launcher) sweepMarked(ctx context.Context, o GCOptions) ([]Leftover, error) {
	host, err := netplumb.OpenHost(l.root.Net())
	if err != nil {
		return nil, err
	}
	defer func() { _ = host.Close() }()
	strangers, err := l.strangers(host)
	if err != nil || len(strangers) == 0 {
		return nil, err
	}
	if o.Unrecorded && !o.DryRun {
		// A supervisor may just be about to write down anew what was lost.
		if err := sleep(ctx, 2*HomeInterval); err != nil {
			return nil, err
		}
		if strangers, err = l.strangers(host); err != nil {
			return nil, err
		}
	}
	var found []Leftover
	var errs []error
	for _, m := range strangers {
		action := ActionLeave
		if o.Unrecorded {
			action = ActionRemove
		}
		one, err := attempt(o.DryRun || !o.Unrecorded, m.String()+", of which there is no record", action, func() error {
			return errors.Join(endOwner(ctx, m), host.Remove(m))
		})
		found, errs = append(found, one), append(errs, err)
	}
	return found, errors.Join(errs...)
}

// strangers lists what bears kvmrun's marks and belongs to no VM that has a
// folder. First the marks, then the folders: a VM is written down before it has
// anything.
func (l *Launcher) strangers(host *netplumb.Host) ([]netplumb.Marked, error) {
	marked, err := host.Marked()
	if err != nil || len(marked) == 0 {
		return nil, err
	}
	names, err := l.root.Names()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{} // UUIDs
	for _, name := range names {
		vm, err := l.look(l.root.Dir(name))
		if err == nil {
			known[vm.UUID] = true
		} else if ignoreGone(err) != nil {
			return nil, nil // it cannot be told what is whose, and adoptAll tells why
		}
	}
	var strangers []netplumb.Marked
	for _, m := range marked {
		switch m.Kind {
		case netplumb.MarkedTap:
			uuid, ours := tapOwner(m.Alias)
			if ours && known[uuid] {
				continue
			}
		case netplumb.MarkedProxy:
			if l.leased(m.Address) {
				continue
			}
		case netplumb.MarkedAlias:
			if recorded, err := host.Recorded(m); err != nil || recorded {
				continue
			}
		}
		strangers = append(strangers, m)
	}
	return strangers, nil
}

// endOwner ends the QEMU of a tap of which there is no record.
func endOwner(ctx context.Context, m netplumb.Marked) error {
	uuid, ours := tapOwner(m.Alias)
	if !ours {
		return nil
	}
	id, err := process.Search(process.SharesNetwork, "-uuid", uuid)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	handle, err := process.Open(id)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	if err := handle.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, process.ErrGone) {
		return err
	}
	return waitFor(ctx, handle, FlushTime)
}
