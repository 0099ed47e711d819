package hostcheck

import (
	"fmt"
	"strconv"
)

// Values of rp_filter (the kernel's networking/ip-sysctl.rst, RFC 3704). What
// counts for an interface is the larger one of its own and all's.
const (
	reverseOff = iota
	reverseStrict
	reverseLoose
)

// conf reads net.ipv4.conf.IFNAME.KEY. The interface's name may hold dots,
// which is why it is not looked up as sysctl(8) writes it.
func (h Host) conf(ifname, key string) (int, error) {
	text, err := h.read("proc/sys/net/ipv4/conf", ifname, key)
	if err != nil {
		return 0, err
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("net.ipv4.conf.%s.%s is %q, not a number", ifname, key, text)
	}
	return value, nil
}

// UplinkReversePath checks that the uplink takes packets whose sender it would
// answer by another interface.
func (h Host) UplinkReversePath() Result {
	const name = "uplink-rp-filter"
	if h.Uplink == "" {
		return ok(name, "there is no uplink")
	}
	all, err := h.conf("all", "rp_filter")
	if err != nil {
		return unknown(name, err)
	}
	own, err := h.conf(h.Uplink, "rp_filter")
	if err != nil {
		return unknown(name, err)
	}
	if max(all, own) != reverseStrict {
		return ok(name, "rp_filter on %s is not strict (all %d, %s %d)", h.Uplink, all, h.Uplink, own)
	}
	return warn(name, set(h.Uplink, "rp_filter", reverseLoose),
		"rp_filter on %s is strict (all %d, %s %d, the larger counts): what comes in by %s for a guest is dropped if the route back to its sender leaves by another interface, as with two uplinks or a VPN",
		h.Uplink, all, h.Uplink, own, h.Uplink)
}

// TapReversePath checks that a strict filter on a tap stays strict: it is what
// keeps a guest from using addresses that are not its own.
func (h Host) TapReversePath() Result {
	const name = "tap-rp-filter"
	all, err := h.conf("all", "rp_filter")
	if err != nil {
		return unknown(name, err)
	}
	if all != reverseLoose {
		return ok(name, "net.ipv4.conf.all.rp_filter is %d: a strict filter on a tap stays strict", all)
	}
	remedy := set("all", "rp_filter", reverseOff)
	if h.Uplink != "" {
		remedy = set(h.Uplink, "rp_filter", reverseLoose) + "\n" + remedy
	}
	return warn(name, remedy,
		"net.ipv4.conf.all.rp_filter is 2 (loose), which overrides the strict filter on every tap: a guest can send from addresses that are not its own; set it per interface instead")
}

// ProxyARP checks that no interface answers ARP for addresses that nobody told
// it to.
func (h Host) ProxyARP() Result {
	const name = "proxy-arp"
	all, err := h.conf("all", "proxy_arp")
	if err != nil {
		return unknown(name, err)
	}
	if all == 0 {
		return ok(name, "net.ipv4.conf.all.proxy_arp is 0: interfaces answer ARP for others only where they are told to")
	}
	return warn(name, set("all", "proxy_arp", 0),
		"net.ipv4.conf.all.proxy_arp is %d: every interface answers ARP for every address that this host has a route to by another interface, also for machines that are not guests", all)
}

// set is the command that sets a key. sysctl(8) takes slashes for dots, and
// then a dot in the interface's name is one.
func set(ifname, key string, value int) string {
	return fmt.Sprintf("sysctl -w net/ipv4/conf/%s/%s=%d", ifname, key, value)
}
