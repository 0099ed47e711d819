package explain

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb"
	"kvmrun/netplumb/hostcheck"
)

// look reads what stands in the kernel.
func (f *facts) look(host *netplumb.Host) (err error) {
	f.review = map[netplumb.Part]netplumb.Finding{}
	for _, finding := range f.Plan.Review(host) {
		f.review[finding.Part] = finding
	}
	if f.tap, err = lookDevice(f.cfg.Tap); err != nil {
		return err
	}
	if f.cfg.Uplink != "" {
		if f.uplink, err = lookDevice(f.cfg.Uplink); err != nil {
			return err
		}
	}
	f.lookAddress()
	f.lookNeighbour()
	if err := f.lookRules(); err != nil {
		return err
	}
	if err := f.findPeer(host); err != nil {
		return err
	}
	if err := f.lookRoutes(); err != nil {
		return err
	}
	f.lookFilters()
	return nil
}

// lookDevice reads an interface; one that is not there is no error.
func lookDevice(name string) (device, error) {
	d := device{name: name}
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("look up interface %s: %w", name, err)
	}
	attrs := link.Attrs()
	d.exists, d.index, d.mtu = true, attrs.Index, attrs.MTU
	ethernet := len(attrs.HardwareAddr) == 6 && attrs.RawFlags&unix.IFF_LOOPBACK == 0
	d.noARP = ethernet && attrs.RawFlags&unix.IFF_NOARP != 0
	d.ethernet = ethernet && !d.noARP
	d.up, d.carrier = attrs.RawFlags&unix.IFF_UP != 0, attrs.RawFlags&unix.IFF_LOWER_UP != 0
	if attrs.MasterIndex != 0 {
		d.master = interfaceName(attrs.MasterIndex)
	}
	return d, d.readSettings()
}

// readSettings reads settings as they take effect: of some the larger of the
// interface's own and all's counts, forwarding is the interface's own alone
// (IN_DEV_MAXCONF, IN_DEV_ORCONF and IN_DEV_CONF_GET of linux/inetdevice.h).
func (d *device) readSettings() error {
	values := map[string]int{}
	for _, name := range []string{"all/proxy_arp", "all/rp_filter", d.name + "/forwarding", d.name + "/proxy_arp", d.name + "/rp_filter"} {
		path := "/proc/sys/net/ipv4/conf/" + name
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has gone meanwhile
		}
		if err != nil {
			return err
		}
		if values[name], err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	d.forwarding = values[d.name+"/forwarding"] != 0
	d.proxy = max(values["all/proxy_arp"], values[d.name+"/proxy_arp"]) != 0
	d.rpFilter = max(values["all/rp_filter"], values[d.name+"/rp_filter"])
	return nil
}

// lookAddress finds the interface that has the tap's address, the tap first.
func (f *facts) lookAddress() {
	if f.review[netplumb.PartAddress].OK {
		f.tapOn = f.cfg.Tap
	} else if l := routeGet(f.Plan.TapAddress, netlink.RouteGetOptions{FIBMatch: true}); l.local {
		f.tapOn = l.dev
	}
}

// lookNeighbour reads the guest's MAC as the host has it; nil if it has none.
func (f *facts) lookNeighbour() {
	if !f.tap.exists {
		return
	}
	all, err := netlink.NeighList(f.tap.index, netlink.FAMILY_V4)
	f.macErr = err
	for _, n := range all {
		if addr, _ := netip.AddrFromSlice(n.IP.To4()); addr == f.cfg.Address && n.State&(unix.NUD_FAILED|unix.NUD_INCOMPLETE) == 0 {
			f.mac = n.HardwareAddr
		}
	}
}

// mainPriority is the priority of the rule for the main table.
const mainPriority = 32766

// lookRules lists the policy rules that come before the main table and may
// concern the guest, in order.
func (f *facts) lookRules() error {
	all, err := netlink.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list the policy rules: %w", err)
	}
	for _, r := range all {
		if r.Priority <= 0 || r.Priority >= mainPriority {
			continue
		}
		known := rule{priority: r.Priority, iif: r.IifName, from: prefixOf(r.Src), to: prefixOf(r.Dst), text: ruleText(r)}
		if f.concerned(known) {
			f.rules = append(f.rules, known)
		}
	}
	slices.SortStableFunc(f.rules, func(a, b rule) int { return a.priority - b.priority })
	return nil
}

// concerned tells whether a rule may match packets to or from the guest.
func (f *facts) concerned(r rule) bool {
	if r.iif != "" && r.iif != f.cfg.Uplink && r.iif != f.cfg.Tap {
		return false
	}
	to := !r.to.IsValid() || r.to.Contains(f.cfg.Address) || r.iif == f.cfg.Tap
	from := !r.from.IsValid() || r.from.Contains(f.cfg.Address) || r.iif != f.cfg.Tap
	return to && from
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(n.IP.To4())
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, ones)
}

// ruleText writes a rule as iproute2 does.
func ruleText(r netlink.Rule) string {
	text := fmt.Sprintf("%d: from ", r.Priority)
	if r.Src == nil {
		text += "all"
	} else {
		text += r.Src.String()
	}
	if r.Dst != nil {
		text += " to " + r.Dst.String()
	}
	if r.IifName != "" {
		text += " iif " + r.IifName
	}
	if r.Mark != 0 {
		text += fmt.Sprintf(" fwmark %#x", r.Mark)
	}
	if r.Table != 0 {
		text += fmt.Sprintf(" lookup %d", r.Table)
	}
	return text
}

// lookRoutes asks the kernel where packets would go. For one that comes in by an
// interface it goes through all that it does for a real one: policy rules,
// source validation, forwarding (inet_rtm_getroute, net/ipv4/route.c). Newer
// kernels have one error for all that may be wrong there.
func (f *facts) lookRoutes() error {
	guest := f.cfg.Address
	own, err := netlink.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{Dst: &net.IPNet{IP: guest.AsSlice(), Mask: net.CIDRMask(32, 32)}, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("look for the route to %s: %w", guest, err)
	}
	if len(own) > 0 {
		f.mainRoute = interfaceName(own[0].LinkIndex) // of several the one with the lowest metric
	}
	f.toGuest = routeGet(guest, netlink.RouteGetOptions{})
	f.toPeer, f.in, f.out = lookup{err: errNotTried}, lookup{err: errNotTried}, lookup{err: errNotTried}
	if f.peer.addr.IsValid() && f.uplink.exists && f.tap.exists {
		f.toPeer = routeGet(f.peer.addr, netlink.RouteGetOptions{})
		f.in = routeGet(guest, netlink.RouteGetOptions{IifIndex: f.uplink.index, SrcAddr: f.peer.addr.AsSlice()})
		f.out = routeGet(f.peer.addr, netlink.RouteGetOptions{IifIndex: f.tap.index, SrcAddr: guest.AsSlice()})
	}
	return nil
}

// interfaceName is an interface's name; "" if it has gone.
func interfaceName(index int) string {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return ""
	}
	return link.Attrs().Name
}

var errNotTried = errors.New("not looked up: there is no machine to look it up for")

// routeGet asks for one route. An error is a bare error number of the kernel's.
func routeGet(to netip.Addr, options netlink.RouteGetOptions) lookup {
	routes, err := netlink.RouteGetWithOptions(to.AsSlice(), &options)
	if err != nil || len(routes) == 0 {
		if errno := unix.Errno(0); errors.As(err, &errno) {
			err = errno
		}
		return lookup{err: err}
	}
	r := routes[0]
	l := lookup{dev: interfaceName(r.LinkIndex), table: r.Table, local: r.Type == unix.RTN_LOCAL}
	l.via, _ = netip.AddrFromSlice(r.Gw.To4())
	return l
}

// findPeer settles whom on the LAN to try with, and which way.
func (f *facts) findPeer(host *netplumb.Host) error {
	if !f.uplink.usable() {
		return nil
	}
	f.peer.addr = f.With
	if !f.With.IsValid() {
		route, found, err := host.DefaultRoute()
		if err != nil || !found || route.Interface != f.cfg.Uplink {
			return err
		}
		f.peer.addr = route.Router
	}
	if !f.peer.addr.IsValid() {
		return nil
	}
	routes, err := netlink.RouteGetWithOptions(f.peer.addr.AsSlice(), &netlink.RouteGetOptions{OifIndex: f.uplink.index})
	f.peer.next = f.peer.addr
	if err != nil || len(routes) == 0 {
		return nil // it is asked for as a neighbour, by a probe
	}
	f.peer.from, _ = netip.AddrFromSlice(routes[0].Src.To4())
	if via, ok := netip.AddrFromSlice(routes[0].Gw.To4()); ok {
		f.peer.next = via
	}
	return nil
}

// lookFilters asks the packet filters what becomes of the guest's packets.
func (f *facts) lookFilters() {
	filters, err := hostcheck.Host{}.Filters()
	if err != nil {
		f.dropsErr = err
		return
	}
	for _, at := range []hostcheck.Hook{hostcheck.Prerouting, hostcheck.Forward, hostcheck.Output, hostcheck.Postrouting} {
		f.filters += filters.Count(at)
		drops, err := filters.Drops(at, f.packetsAt(at)...)
		if err != nil {
			f.dropsErr = err
			return
		}
		f.drops = append(f.drops, drops...)
	}
}

// packetsAt are the packets that have to pass a hook.
func (f *facts) packetsAt(at hostcheck.Hook) []hostcheck.Packet {
	from := hostcheck.Packet{In: f.cfg.Tap, Out: f.cfg.Uplink, Source: f.cfg.Address, Destination: f.peer.addr, What: fromGuest}
	to := hostcheck.Packet{In: f.cfg.Uplink, Out: f.cfg.Tap, Source: f.peer.addr, Destination: f.cfg.Address, What: toGuest}
	if at == hostcheck.Output {
		return []hostcheck.Packet{{Out: f.cfg.Tap, Source: f.Plan.TapAddress, Destination: f.cfg.Address, What: toGuest}}
	}
	if f.cfg.Uplink == "" {
		return nil
	}
	return []hostcheck.Packet{from, to}
}

// What packets are, in words.
const (
	fromGuest = "from the guest"
	toGuest   = "to the guest"
)
