package launcher

import (
	"errors"
	"strings"
)

// Host is a VM that runs, as /etc/hosts has it.
type Host struct {
	IP    string
	Names []string // the VM's, and the guest's own if that is another
}

// String is a line as in hosts(5).
func (h Host) String() string { return h.IP + "\t" + strings.Join(h.Names, " ") }

// Hosts are the names of the VMs that run, in their order. What could not be read is
// told beside those that could.
func (l *Launcher) Hosts() ([]Host, error) {
	vms, err := l.List(false)
	hosts := make([]Host, 0, len(vms))
	for _, vm := range vms {
		d, failed := l.Inspect(vm.Name)
		if failed != nil {
			if KindOf(failed) != KindNotFound {
				err = errors.Join(err, failed)
			}
			continue
		}
		if d.PID == 0 {
			continue
		}
		h := Host{IP: d.IP, Names: []string{d.Name}}
		if own := d.Spec.hostName(); own != d.Name {
			h.Names = append(h.Names, own)
		}
		hosts = append(hosts, h)
	}
	return hosts, err
}

// AllSSH is SSH for the VMs that are named, or, without any name, for all that run.
// What failed comes beside those that did not.
func (l *Launcher) AllSSH(names []string) ([]SSH, error) {
	all := len(names) == 0
	if all {
		var err error
		if names, err = l.Names(); err != nil {
			return nil, err
		}
	}
	var found []SSH
	var errs []error
	for _, name := range names {
		s, err := l.SSH(name)
		switch kind := KindOf(err); {
		case err == nil:
			found = append(found, s)
		case all && (kind == KindEnded || kind == KindNotFound): // not one that runs
		default:
			errs = append(errs, err)
		}
	}
	return found, errors.Join(errs...)
}
