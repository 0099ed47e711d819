package supervisor

import (
	"context"
	"fmt"
	"net/netip"

	"kvmrun/launcher"
	"kvmrun/netplumb/dns"
	"kvmrun/netplumb/resolver"
)

// dnsPort is where name servers listen.
const dnsPort = 53

// openDNS opens the guest's name server before QEMU runs, so that its first question
// is heard. It is nil where the guest is told others.
func (s *supervisor) openDNS() (*dns.Server, error) {
	n := s.spec.Network
	if !n.Resolver.IsValid() {
		return nil, nil
	}
	server, err := dns.Listen(dns.Config{
		Interface: n.Tap, MAC: n.MAC.HardwareAddr(), Guest: n.IP, Address: n.Resolver, MTU: n.MTU,
		Names: launcher.NewGuestNames(s.root), Upstreams: upstreams,
	})
	if err != nil {
		return nil, &launcher.Error{Kind: launcher.KindHost, Err: fmt.Errorf("serve the guest's name server: %w", err),
			Advice: "start it with --dns host or --dns off"}
	}
	return server, nil
}

// upstreams are the servers that this host asks at this moment.
func upstreams() []netip.AddrPort {
	servers, err := resolver.OfHost("/")
	if err != nil {
		return nil
	}
	list := make([]netip.AddrPort, len(servers))
	for i, server := range servers {
		list[i] = netip.AddrPortFrom(server, dnsPort)
	}
	return list
}

// serveDNS answers the guest until ctx ends. A server of nil does nothing.
func (s *supervisor) serveDNS(ctx context.Context, server *dns.Server) {
	if server == nil {
		return
	}
	go func() {
		if err := server.Serve(ctx); err != nil && ctx.Err() == nil {
			s.post(ctx, func() { s.log.Error("DNS ended", "err", err) })
		}
	}()
}
