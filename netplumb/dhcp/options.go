package dhcp

import (
	"math"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

// A client takes messages of 576 bytes, IP and UDP headers included, unless it
// says that it takes more (RFC 2131, section 2). More than an Ethernet frame
// holds is of no use, whatever it says.
const (
	smallestMaximum = 576
	largestMaximum  = 1500
	packetHeaders   = 20 + 8
	// bootpLength is all that a BOOTP client reads (RFC 951, section 3).
	bootpLength = 300
)

// addParameters tells the guest what it asked for in its parameter request
// list, everything if it sent none. Mask and router are always told: a guest
// without them is of no use to anybody.
func addParameters(cfg Config, request, reply *dhcpv4.DHCPv4) {
	reply.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(cfg.Address.Bits(), 32)))
	if cfg.Router.IsValid() {
		reply.UpdateOption(dhcpv4.OptRouter(ip(cfg.Router)))
	}
	for _, option := range parameters(cfg) {
		if request.IsOptionRequested(option.Code) {
			addIfItFits(request, reply, option)
		}
	}
}

// parameters lists the optional parameters of cfg, the dearest first.
func parameters(cfg Config) []dhcpv4.Option {
	var list []dhcpv4.Option
	if cfg.Address.Bits() == 32 && cfg.Router.IsValid() {
		list = append(list, dhcpv4.OptClasslessStaticRoute(routesFromNowhere(cfg)...))
	}
	if len(cfg.DNS) > 0 {
		servers := make([]net.IP, len(cfg.DNS))
		for i, server := range cfg.DNS {
			servers[i] = ip(server)
		}
		list = append(list, dhcpv4.OptDNS(servers...))
	}
	if cfg.MTU != 0 {
		list = append(list, dhcpv4.Option{Code: dhcpv4.OptionInterfaceMTU, Value: dhcpv4.Uint16(cfg.MTU)})
	}
	if cfg.HostName != "" {
		list = append(list, dhcpv4.OptHostName(cfg.HostName))
	}
	if len(cfg.Search) > 0 {
		list = append(list, dhcpv4.OptDomainName(cfg.Search[0]))
	}
	if len(cfg.Search) > 1 { // RFC 3397
		list = append(list, dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: cfg.Search}))
	}
	if addr, ok := cfg.broadcast(); ok {
		list = append(list, dhcpv4.OptBroadcastAddress(ip(addr)))
	}
	return list
}

// routesFromNowhere makes a router usable from a /32, whose subnet holds
// nothing but the guest: first the router itself, on the link, then the rest
// through it (RFC 3442).
func routesFromNowhere(cfg Config) []*dhcpv4.Route {
	everywhere := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	router := &net.IPNet{IP: ip(cfg.Router), Mask: net.CIDRMask(32, 32)}
	return []*dhcpv4.Route{
		{Dest: router, Router: net.IPv4zero},
		{Dest: everywhere, Router: ip(cfg.Router)},
	}
}

// addLeaseTimers adds T1 and T2 at the places of RFC 2131, section 4.4.5. An
// infinite lease is not renewed and has neither.
func addLeaseTimers(cfg Config, request, reply *dhcpv4.DHCPv4) {
	whole := cfg.lease()
	if whole == Infinite {
		return
	}
	for _, option := range []dhcpv4.Option{
		dhcpv4.OptRenewTimeValue(whole / 2),
		dhcpv4.OptRebindingTimeValue(time.Duration(math.Round(float64(whole) * 0.875))),
	} {
		if request.IsOptionRequested(option.Code) {
			reply.UpdateOption(option)
		}
	}
}

// addIfItFits adds option unless the reply would outgrow what the client takes.
func addIfItFits(request, reply *dhcpv4.DHCPv4, option dhcpv4.Option) {
	reply.UpdateOption(option)
	if len(reply.ToBytes()) > largestReply(request) {
		reply.DeleteOption(option.Code)
	}
}

// largestReply is the longest DHCP message that the client takes, in bytes.
func largestReply(request *dhcpv4.DHCPv4) int {
	if !request.Options.Has(dhcpv4.OptionDHCPMessageType) {
		return bootpLength
	}
	size, err := request.MaxMessageSize()
	if err != nil {
		return smallestMaximum - packetHeaders
	}
	return min(max(int(size), smallestMaximum), largestMaximum) - packetHeaders
}
