package netplumb

import (
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"
)

// Taps are the taps of several plans, as they were found on the host.
type Taps struct {
	host    *Host
	indexes []int
	group   uint32 // that no interface of the host is in
}

// FindTaps looks for the taps of plans, all in one look at the host's
// interfaces. A tap that is not there, or not the plan's by name, alias and link
// group, is left out. It changes nothing.
func (h *Host) FindTaps(plans []*Plan) (Taps, error) {
	wanted := make(map[string]Config, len(plans))
	for _, p := range plans {
		wanted[p.Config.Tap] = p.Config
	}
	found := Taps{host: h}
	groups := map[uint32]bool{0: true}
	err := h.rtnl.links(func(l link) {
		groups[l.group] = true
		if c, ok := wanted[l.name]; ok && l.ours(c) {
			found.indexes = append(found.indexes, l.index)
		}
	})
	for groups[found.group] {
		found.group = rand.Uint32()
	}
	return found, err
}

// maxBatch is how many requests go to the kernel at once: the datagram must fit
// into a socket's buffer as it is by default (net.core.wmem_default).
const maxBatch = 1000

// Delete deletes the taps, whoever holds descriptors of them. The kernel waits
// for its readers once for all of them, where it would otherwise wait for each:
// so they are put into a link group of their own, and that is deleted, in one
// system call up to maxBatch. Interface numbers are not given away again, so no
// other interface gets into that group; one that has gone is left out.
func (t Taps) Delete() error {
	if len(t.indexes) == 0 {
		return nil
	}
	for some := range slices.Chunk(t.indexes, maxBatch) {
		requests := make([]*message, 0, len(some)+1)
		for _, index := range some {
			requests = append(requests, setGroup(index, t.group))
		}
		err := t.host.rtnl.batch(append(requests, deleteGroup(t.group)))
		if err != nil && !gone(err) {
			return permission(err)
		}
	}
	return nil
}

// setGroup puts an interface into a link group.
func setGroup(index int, group uint32) *message {
	m := newMessage(unix.RTM_SETLINK, 0, ifinfomsg(index))
	m.attr32(unix.IFLA_GROUP, group)
	return m
}

// deleteGroup removes all interfaces of a link group.
func deleteGroup(group uint32) *message {
	m := newMessage(unix.RTM_DELLINK, 0, ifinfomsg(0))
	m.attr32(unix.IFLA_GROUP, group)
	return m
}
