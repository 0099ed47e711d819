package dhcp

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

var (
	own     = net.IP{10, 254, 254, 7}
	foreign = net.IP{192, 0, 2, 77}
	server  = net.IP{10, 254, 254, 1}
)

// message is what the guest says, as its own DHCP library would build it.
func message(t testing.TB, kind dhcpv4.MessageType, changes ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	base := []dhcpv4.Modifier{dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}), dhcpv4.WithHwAddr(guestMAC)}
	if kind != dhcpv4.MessageTypeNone {
		base = append(base, dhcpv4.WithMessageType(kind))
	}
	m, err := dhcpv4.New(append(base, changes...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func asking(addr net.IP) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(addr))
}

func of(id net.IP) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(id)) }

func TestAnswer(t *testing.T) {
	const (
		silence  = dhcpv4.MessageType(99)
		none     = dhcpv4.MessageTypeNone
		discover = dhcpv4.MessageTypeDiscover
		request  = dhcpv4.MessageTypeRequest
		inform   = dhcpv4.MessageTypeInform
		offer    = dhcpv4.MessageTypeOffer
		ack      = dhcpv4.MessageTypeAck
		nak      = dhcpv4.MessageTypeNak
	)
	relay := dhcpv4.WithGatewayIP(net.IP{10, 0, 0, 1})
	stranger := dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 9})
	token := func(m *dhcpv4.DHCPv4) { m.HWType = 6 }
	reply := func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }
	rapid := dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionRapidCommit, nil))
	broadcast := dhcpv4.WithBroadcast(true)

	for name, c := range map[string]struct {
		message *dhcpv4.DHCPv4
		want    dhcpv4.MessageType
		unicast bool
		event   Kind
	}{
		"discover":                       {message(t, discover), offer, true, Offered},
		"discover, broadcast":            {message(t, discover, broadcast), offer, false, Offered},
		"discover, asking for another":   {message(t, discover, asking(foreign)), offer, true, Offered},
		"discover, rapid commit":         {message(t, discover, rapid), ack, true, Acknowledged},
		"request, selecting":             {message(t, request, of(server), asking(own)), ack, true, Acknowledged},
		"request, selecting, broadcast":  {message(t, request, of(server), asking(own), broadcast), ack, false, Acknowledged},
		"request, another server":        {message(t, request, of(foreign), asking(own)), silence, false, ""},
		"request, another address":       {message(t, request, of(server), asking(foreign)), nak, false, Refused},
		"request, after reboot":          {message(t, request, asking(own)), ack, true, Acknowledged},
		"request, after reboot, another": {message(t, request, asking(foreign)), nak, false, Refused},
		"request, renewing":              {message(t, request, dhcpv4.WithClientIP(own)), ack, true, Acknowledged},
		"request, renewing, broadcast":   {message(t, request, dhcpv4.WithClientIP(own), broadcast), ack, true, Acknowledged},
		"request, renewing another":      {message(t, request, dhcpv4.WithClientIP(foreign)), nak, false, Refused},
		"request for nothing":            {message(t, request), silence, false, ""},
		"request for 0.0.0.0":            {message(t, request, asking(net.IPv4zero)), silence, false, ""},
		"inform":                         {message(t, inform, dhcpv4.WithClientIP(own)), ack, true, Informed},
		"inform, address unsaid":         {message(t, inform), ack, false, Informed},
		"inform from another address":    {message(t, inform, dhcpv4.WithClientIP(foreign)), silence, false, ""},
		"decline":                        {message(t, dhcpv4.MessageTypeDecline, of(server), asking(own)), silence, false, Declined},
		"release":                        {message(t, dhcpv4.MessageTypeRelease, of(server), dhcpv4.WithClientIP(own)), silence, false, Released},
		"BOOTP":                          {message(t, none), none, true, Booted},
		"an offer":                       {message(t, offer), silence, false, ""},
		"an unknown type":                {message(t, 77), silence, false, ""},
		"another's chaddr":               {message(t, discover, stranger), silence, false, ""},
		"another kind of network":        {message(t, discover, token), silence, false, ""},
		"a reply":                        {message(t, discover, reply), silence, false, ""},
		"by a relay":                     {message(t, discover, relay), silence, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.message.ToBytes()
			got, ok := Answer(testConfig(), c.message)
			if !bytes.Equal(before, c.message.ToBytes()) {
				t.Error("Answer changed the request")
			}
			if ok != (c.want != silence) || ok && got.MessageType() != c.want {
				t.Fatalf("answer %v, %v; want %v", got, ok, c.want)
			}
			if fromGuest(testConfig(), c.message) {
				if event, _ := newEvent(c.message, got); event.Kind != c.event {
					t.Errorf("event %v, want %q", event, c.event)
				}
			}
			if !ok {
				return
			}
			if unicast(c.message, got) != c.unicast {
				t.Errorf("unicast is not %v", c.unicast)
			}
			checkReply(t, c.message, got)
		})
	}
}

// checkReply checks what is so in every reply.
func checkReply(t *testing.T, request, reply *dhcpv4.DHCPv4) {
	t.Helper()
	if reply.OpCode != dhcpv4.OpcodeBootReply || reply.TransactionID != request.TransactionID || !bytes.Equal(reply.ClientHWAddr, guestMAC) {
		t.Errorf("reply %v does not belong to %v", reply, request)
	}
	kind := reply.MessageType()
	if kind != dhcpv4.MessageTypeNone && !reply.ServerIdentifier().Equal(server) {
		t.Errorf("server identifier %v", reply.ServerIdentifier())
	}
	leased := kind != dhcpv4.MessageTypeNak && kind != dhcpv4.MessageTypeNone && request.MessageType() != dhcpv4.MessageTypeInform
	if reply.Options.Has(dhcpv4.OptionIPAddressLeaseTime) != leased {
		t.Errorf("%v has a lease: %v", kind, !leased)
	}
	addressed := leased || kind == dhcpv4.MessageTypeNone
	if reply.YourIPAddr.Equal(own) != addressed || !addressed && !reply.YourIPAddr.IsUnspecified() {
		t.Errorf("%v gives address %v", kind, reply.YourIPAddr)
	}
	if (kind == dhcpv4.MessageTypeNak) == (reply.SubnetMask() != nil) {
		t.Errorf("%v with mask %v", kind, reply.SubnetMask())
	}
}

func TestAnswerTellsWhatWasAskedFor(t *testing.T) {
	always := []uint8{1, 3, 51, 53, 54}
	for name, c := range map[string]struct {
		cfg    func(*Config)
		asked  []dhcpv4.OptionCode // nil: no list at all
		others []uint8
	}{
		"no list":          {nil, nil, []uint8{6, 12, 15, 26, 28, 119}},
		"the name alone":   {nil, []dhcpv4.OptionCode{dhcpv4.OptionHostName}, []uint8{12}},
		"a list of none":   {nil, []dhcpv4.OptionCode{dhcpv4.OptionNTPServers}, nil},
		"timers":           {func(c *Config) { c.Lease = time.Hour }, []dhcpv4.OptionCode{dhcpv4.OptionRenewTimeValue}, []uint8{58}},
		"infinite, timers": {nil, []dhcpv4.OptionCode{dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue}, nil},
		"nothing to tell":  {func(c *Config) { c.DNS, c.HostName, c.Search, c.MTU = nil, "", nil, 0 }, nil, []uint8{28}},
		"routes from /32": {func(c *Config) { c.Address = netip.PrefixFrom(c.Address.Addr(), 32) },
			[]dhcpv4.OptionCode{dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionBroadcastAddress}, []uint8{121}},
		"one domain":         {func(c *Config) { c.Search = c.Search[:1] }, []dhcpv4.OptionCode{dhcpv4.OptionDomainName, dhcpv4.OptionDNSDomainSearchList}, []uint8{15}},
		"no routes from /24": {nil, []dhcpv4.OptionCode{dhcpv4.OptionClasslessStaticRoute}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			m := message(t, dhcpv4.MessageTypeDiscover)
			if c.asked != nil {
				m.UpdateOption(dhcpv4.OptParameterRequestList(c.asked...))
			}
			reply, ok := Answer(cfg, m)
			if !ok {
				t.Fatal("no answer")
			}
			got, want := map[uint8]bool{}, map[uint8]bool{}
			for code := range reply.Options {
				got[code] = true
			}
			for _, code := range append(always, c.others...) {
				want[code] = true
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("options (-want +got):\n%s", d)
			}
		})
	}
}

func TestAnswerValues(t *testing.T) {
	cfg := testConfig()
	cfg.Lease = time.Hour
	cfg.Address = netip.MustParsePrefix("10.254.254.7/22")
	id := []byte{1, 2, 3}
	reply, ok := Answer(cfg, message(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptClientIdentifier(id)),
		dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 1, 1})))
	if !ok {
		t.Fatal("no answer")
	}
	for code, want := range map[dhcpv4.OptionCode][]byte{
		dhcpv4.OptionSubnetMask:            {255, 255, 252, 0},
		dhcpv4.OptionRouter:                {10, 254, 254, 1},
		dhcpv4.OptionDomainNameServer:      {192, 0, 2, 53, 192, 0, 2, 54},
		dhcpv4.OptionHostName:              []byte("web"),
		dhcpv4.OptionDomainName:            []byte("example.org"),
		dhcpv4.OptionInterfaceMTU:          {5, 120},
		dhcpv4.OptionBroadcastAddress:      {10, 254, 255, 255},
		dhcpv4.OptionIPAddressLeaseTime:    {0, 0, 14, 16},
		dhcpv4.OptionRenewTimeValue:        {0, 0, 7, 8},
		dhcpv4.OptionRebindingTimeValue:    {0, 0, 12, 78},
		dhcpv4.OptionClientIdentifier:      id,
		dhcpv4.OptionRelayAgentInformation: nil,
	} {
		if got := reply.GetOneOption(code); !bytes.Equal(got, want) {
			t.Errorf("%v is %v, want %v", code, got, want)
		}
	}
	cfg.Address = netip.PrefixFrom(cfg.Address.Addr(), 32)
	reply, _ = Answer(cfg, message(t, dhcpv4.MessageTypeDiscover))
	want := []byte{32, 10, 254, 254, 1, 0, 0, 0, 0, 0, 10, 254, 254, 1}
	if got := reply.GetOneOption(dhcpv4.OptionClasslessStaticRoute); !bytes.Equal(got, want) {
		t.Errorf("classless routes %v, want %v", got, want)
	}
}

// TestAnswerFitsTheClient offers more than a message holds.
func TestAnswerFitsTheClient(t *testing.T) {
	cfg := testConfig()
	for i := range 70 {
		cfg.DNS = append(cfg.DNS, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	for name, c := range map[string]struct {
		message *dhcpv4.DHCPv4
		most    int
		dns     bool
	}{
		"the least":         {message(t, dhcpv4.MessageTypeDiscover), 548, false},
		"BOOTP":             {message(t, dhcpv4.MessageTypeNone), 300, false},
		"asked for less":    {message(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(100))), 548, false},
		"asked for more":    {message(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1000))), 972, true},
		"more than a frame": {message(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(65535))), 1472, true},
	} {
		reply, ok := Answer(cfg, c.message)
		if !ok || len(reply.ToBytes()) > c.most {
			t.Errorf("%s: %v, %d bytes, want at most %d", name, ok, len(reply.ToBytes()), c.most)
		}
		if (reply.DNS() != nil) != c.dns || reply.HostName() != "web" {
			t.Errorf("%s: DNS %v, host name %q", name, reply.DNS(), reply.HostName())
		}
	}
}
