package netplumb

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Orphan is a shared change that the journal records on behalf of an address
// that nobody uses any more, or of nobody, where undoing it was cut short.
type Orphan struct {
	// What says what was changed, on what: "sysctl net.ipv4.conf.eth0.forwarding".
	What string
	// Holder is the address; the zero Addr if there is none.
	Holder netip.Addr

	resource resource
}

// Orphans lists what the journal holds for addresses that are not in use. It
// changes nothing. Entries that are not the journal's own are passed over.
func (h *Host) Orphans(inUse func(netip.Addr) bool) ([]Orphan, error) {
	entries, err := os.ReadDir(h.holds.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	var found []Orphan
	for _, e := range entries {
		r := h.recorded(e.Name())
		if !e.IsDir() || r == nil {
			continue
		}
		holders, err := h.holds.holders(e.Name())
		if err != nil {
			return nil, err
		}
		for _, holder := range holders {
			if !inUse(holder) {
				found = append(found, Orphan{What: r.String(), Holder: holder, resource: r})
			}
		}
		if len(holders) == 0 {
			found = append(found, Orphan{What: r.String(), resource: r})
		}
	}
	return found, nil
}

// Release takes a hold back that nobody else will. With the last one the old
// value returns, unless somebody has changed it since. The caller makes sure that
// the address does not come into use meanwhile.
func (h *Host) Release(o Orphan) error {
	holder := ""
	if o.Holder.IsValid() {
		holder = o.Holder.String()
	}
	return permission(h.holds.release(o.resource.bind(h), holder))
}

// holders lists on whose behalf a change is recorded.
func (j holds) holders(key string) ([]netip.Addr, error) {
	entries, err := os.ReadDir(filepath.Join(j.dir, key, holdersDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []netip.Addr
	for _, e := range entries {
		if addr, err := netip.ParseAddr(e.Name()); err == nil {
			all = append(all, addr)
		}
	}
	return all, err
}

// recorded is the resource that a key of the journal's names, as far as it takes
// to restore it; nil if it names none.
func (h *Host) recorded(key string) resource {
	uplink, what, ok := strings.Cut(key, ".")
	digits, isUplink := strings.CutPrefix(uplink, "interface-")
	index, err := strconv.Atoi(digits)
	if !ok || !isUplink || err != nil || index <= 0 {
		return nil
	}
	name, err := h.rtnl.interfaceName(index)
	if err != nil {
		name = uplink // which is gone
	}
	if text, isAddress := strings.CutPrefix(what, "address-"); isAddress {
		addr, err := netip.ParseAddr(text)
		if err != nil || !addr.Is4() {
			return nil
		}
		return aliasResource{uplink: name, index: index, alias: Alias{Address: addr}, host: h}
	}
	for _, setting := range []string{forwarding, proxyDelay, proxyARP} {
		s := uplinkSysctl{sysctl: sysctl{name: setting, iface: name}, index: index, host: h}
		if s.key() == key {
			return s
		}
	}
	return nil
}
