package launcher

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
)

// Leases are named by what they are of.
const (
	leaseIP  = "ip-"
	leaseUID = "uid-"
)

// reserve chooses what is still open (name, address, user ID), leases it, and
// writes the completed Spec into a folder, which gets the VM's name last: other
// commands see a whole VM or none. All of it happens under the run directory's
// lock, so that any number of starts at the same instant choose apart. The
// folder comes back supervised: the caller holds its lock and hands it to a
// supervisor. If anything fails, nothing is left.
func (l *Launcher) reserve(ctx context.Context, d *draft) (folder vmdir.New, err error) {
	guard, err := l.root.Lock(ctx)
	if err != nil {
		return folder, err
	}
	defer func() { _ = guard.Close() }()

	if err := l.chooseName(d); err != nil {
		return folder, err
	}
	if err := l.clearName(ctx, d.spec.Name); err != nil {
		return folder, err
	}
	if folder, err = l.root.New(); err != nil {
		return folder, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.unreserve(d, folder))
		}
	}()
	if err = l.chooseRest(d); err != nil {
		return folder, err
	}
	if err = folder.Dir.Write(vmdir.SpecFile, d.spec); err != nil {
		return folder, err
	}
	if err = writeKnownHosts(folder.Dir, &d.spec); err != nil {
		return folder, err
	}
	if err = Lease(l.root, &d.spec); err != nil {
		return folder, err
	}
	return folder, folder.Name(l.root, d.spec.Name)
}

// Lease gives a VM what it has for itself. Whoever calls it holds the run
// directory's lock.
func Lease(root vmdir.Root, s *Spec) error {
	for _, resource := range s.leases() {
		if err := root.Lease(resource, s.Name); err != nil {
			return err
		}
	}
	return nil
}

// HasLeases tells whether the VM has all that it should have for itself.
func HasLeases(root vmdir.Root, s *Spec) bool {
	for _, resource := range s.leases() {
		if root.Holder(resource) != s.Name {
			return false
		}
	}
	return true
}

// LeaseAddress gives a VM its address, under the run directory's lock. It fails with
// fs.ErrExist if another VM has it.
func LeaseAddress(ctx context.Context, root vmdir.Root, s *Spec) error {
	guard, err := root.Lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = guard.Close() }()
	return root.Lease(leaseOfIP(s.Network.IP), s.Name)
}

// unreserve gives back what reserve took, the folder's lock last.
func (l *Launcher) unreserve(d *draft, folder vmdir.New) error {
	return errors.Join(ReleaseLeases(l.root, &d.spec), folder.Discard())
}

// leases are the resources that a completed Spec has for itself.
func (s *Spec) leases() []string {
	all := []string{leaseOfIP(s.Network.IP), leaseOfUID(s.RunAs.UID)}
	if s.CID != 0 { // records of a kvmrun that knew of none have none
		all = append(all, leaseOfCID(s.CID))
	}
	if s.TPM != nil {
		all = append(all, leaseOfUID(s.TPM.RunAs.UID))
	}
	return all
}

// leaseOfUID names the lease of a user ID.
func leaseOfUID(uid uint32) string { return leaseUID + strconv.FormatUint(uint64(uid), 10) }

// leaseOfIP names the lease of an address.
func leaseOfIP(ip netip.Addr) string { return leaseIP + ip.String() }

// ReleaseLeases gives back what a VM had for itself. Its folder stays.
func ReleaseLeases(root vmdir.Root, s *Spec) error {
	var errs []error
	for _, resource := range s.leases() {
		errs = append(errs, root.Release(resource, s.Name))
	}
	return errors.Join(errs...)
}

// Release gives back a VM's leases and removes its folder, whose lock the caller
// holds.
func Release(root vmdir.Root, s *Spec) error {
	return errors.Join(ReleaseLeases(root, s), root.Dir(s.Name).Remove())
}

// chooseName settles the name. The record of a VM that failed gives way to a
// new VM of that name.
func (l *Launcher) chooseName(d *draft) error {
	if d.spec.Name == "" {
		var err error
		d.spec.Name, err = freeName(d.base, l.taken)
		return err
	}
	if err := l.checkName(d.spec.Name); err != nil {
		return err
	}
	return l.fits(&d.spec)
}

// taken tells whether a VM that nobody named cannot have a name: because another has it,
// or because disks are kept under it.
func (l *Launcher) taken(name string) (bool, error) {
	if l.checkName(name) != nil {
		return true, nil
	}
	kept, err := l.kept(name)
	return len(kept.Disks) > 0, err
}

// checkName tells whether a new VM can have the name.
func (l *Launcher) checkName(name string) error {
	dir := l.root.Dir(name)
	if !dir.Exists() {
		return nil
	}
	was, err := l.look(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !dir.Exists() {
			return nil
		}
		return fail(KindExists, "choose another by --name, or move it away", "%s is there and no VM's", dir.Path)
	case err != nil:
		return err
	case was.State == Failed && was.Details.Leftover == "":
		return nil
	}
	return fail(KindExists, "choose another by --name, or stop it", "there is a VM %s already (%s)", name, was.State)
}

// clearName removes the record of a VM that failed from a name that is free.
func (l *Launcher) clearName(ctx context.Context, name string) error {
	dir := l.root.Dir(name)
	if !dir.Exists() {
		return nil
	}
	return l.removeRecord(ctx, dir, "")
}

// chooseRest settles the keys, address, MAC, tap, user ID and vsock address of a VM that has a name.
func (l *Launcher) chooseRest(d *draft) error {
	s := &d.spec
	if s.UUID == "" {
		s.UUID = uuid.NewString()
	}
	s.Run = uuid.NewString()
	d.chooseHostKey()
	l.placeDisks(s)
	if err := l.chooseAddress(d); err != nil {
		return err
	}
	if s.Network.Tap == "" {
		s.Network.Tap = tapName(s.Name)
	}
	return errors.Join(l.chooseUser(s), l.chooseTPMUser(s), l.chooseCID(s))
}

// chooseAddress takes the address that was asked for, or the next free one of
// the pool, counting upward, and the MAC that goes with it.
func (l *Launcher) chooseAddress(d *draft) error {
	if err := l.chooseIP(d); err != nil {
		return err
	}
	setDefault(&d.spec.Network.MAC, netplumb.MACFor(d.spec.Network.IP))
	return nil
}

func (l *Launcher) chooseIP(d *draft) error {
	n := &d.spec.Network
	if n.IP.IsValid() {
		if vm := l.root.Holder(leaseOfIP(n.IP)); vm != "" && vm != d.spec.Name {
			return fail(KindAddress, "choose another by --ip", "address %s is in use by VM %s", n.IP, vm)
		}
		return d.host.CheckAddressFree(n.IP)
	}
	leased, err := l.root.Leased(leaseIP)
	if err != nil {
		return err
	}
	taken := func(ip netip.Addr) bool {
		if d.routers[ip] || slices.Contains(d.rivals, ip) || leased[ip.String()] && l.root.Holder(leaseOfIP(ip)) != "" {
			return true
		}
		return d.host.CheckAddressFree(ip) != nil
	}
	n.IP, err = netplumb.NextFree(d.pool, n.Gateway, taken)
	return err
}

// chooseUser gives the VM a user ID that no other VM here has. It begins at a
// place drawn by lot, so that VMs of other run directories on the same
// machine hardly ever get the same.
func (l *Launcher) chooseUser(s *Spec) error {
	if s.RunAs.UID != 0 {
		if vm := l.root.Holder(leaseOfUID(s.RunAs.UID)); vm != "" {
			return fail(KindUsage, "choose another by --run-as, or leave it out", "VM %s runs as user %d, and VMs must be strangers to one another", vm, s.RunAs.UID)
		}
		return nil
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(s.Run))
	uid, err := l.freeUser(hash.Sum32())
	if err == nil {
		s.RunAs = Credentials{UID: uid, GID: uid}
	}
	return err
}

// freeUser finds a user ID that no VM has. Where to begin is drawn from a number.
func (l *Launcher) freeUser(from uint32) (uint32, error) {
	for n := range l.uids.Count {
		uid := l.uids.First + (from%l.uids.Count+n)%l.uids.Count
		if l.root.Holder(leaseOfUID(uid)) == "" {
			return uid, nil
		}
	}
	return 0, fail(KindHost, "give a wider range by --uids", "every user ID from %d on is taken", l.uids.First)
}

// maxIfName is IFNAMSIZ without the terminating zero (linux/if.h).
const maxIfName = 15

// tapPrefix begins the name of every tap of kvmrun.
const tapPrefix = "kr-"

// tapName makes an interface name that tells whose it is: kr- and the VM's
// name, or as much of it as fits and a hash of the whole.
func tapName(name string) string {
	const prefix = tapPrefix
	if len(prefix)+len(name) <= maxIfName {
		return prefix + name
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	tail := fmt.Sprintf("-%05x", hash.Sum32()&0xfffff)
	return prefix + name[:maxIfName-len(prefix)-len(tail)] + tail
}
