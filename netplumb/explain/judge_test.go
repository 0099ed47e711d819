package explain

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/netplumb"
	"kvmrun/netplumb/hostcheck"
)

var (
	guestAddr = netip.MustParseAddr("10.254.254.2")
	lanGuest  = netip.MustParseAddr("192.0.2.77")
	router    = netip.MustParseAddr("192.0.2.1")
	hostAddr  = netip.MustParseAddr("192.0.2.10")
	strange   = net.HardwareAddr{2, 0, 0, 0, 0, 1}
)

// sound is what is seen of a guest that is reached, in a subnet of its own or in
// a LAN.
func sound(lan bool) *facts {
	cfg := netplumb.Config{
		Address: guestAddr, Subnet: netip.MustParsePrefix("10.254.254.0/24"), Gateway: netip.MustParseAddr("10.254.254.1"),
		MAC: netplumb.MACFor(guestAddr), Tap: "kr-web", Uplink: "eth0", ProxyARP: netplumb.ProxyExact, MTU: 1500,
	}
	plan := &netplumb.Plan{UplinkIndex: 2, TapAddress: cfg.Gateway, Alias: &netplumb.Alias{Address: cfg.Gateway}}
	if lan {
		cfg.Address, cfg.Subnet, cfg.Gateway = lanGuest, netip.MustParsePrefix("192.0.2.0/24"), hostAddr
		cfg.MAC = netplumb.MACFor(lanGuest)
		plan = &netplumb.Plan{UplinkIndex: 2, TapAddress: hostAddr, LAN: &netplumb.LAN{Prefix: cfg.Subnet, Host: hostAddr}}
	}
	plan.Config = cfg
	f := &facts{Query: Query{Plan: plan, Taps: "kr-*"}, cfg: cfg, review: map[netplumb.Part]netplumb.Finding{}}
	for _, part := range []netplumb.Part{netplumb.PartTap, netplumb.PartSettings, netplumb.PartAddress, netplumb.PartRoute, netplumb.PartNeighbour,
		netplumb.PartProxyEntry, netplumb.PartAlias, netplumb.PartForwarding, netplumb.PartProxyDelay} {
		f.review[part] = netplumb.Finding{Part: part, OK: true}
	}
	f.tap = device{name: "kr-web", index: 7, mtu: 1500, exists: true, ethernet: true, up: true, carrier: true, forwarding: true, proxy: true, rpFilter: 1}
	f.uplink = device{name: "eth0", index: 2, mtu: 1500, exists: true, ethernet: true, up: true, carrier: true, forwarding: true}
	f.tapOn, f.mac = "kr-web", cfg.MAC.HardwareAddr()
	f.toGuest, f.in, f.mainRoute = lookup{dev: "kr-web"}, lookup{dev: "kr-web"}, "kr-web"
	f.toPeer, f.out = lookup{dev: "eth0"}, lookup{dev: "eth0"}
	f.guest = owner{asked: true, mac: cfg.MAC.HardwareAddr()}
	f.peer = peer{addr: router, next: router, from: hostAddr, owner: owner{asked: true, mac: strange}}
	f.rival.asked = true
	whole := trip{tried: true, left: true, entered: true, passed: true}
	f.hostTrip, f.outward, f.inward, f.control = whole, whole, whole, whole
	return f
}

// broken says that a part of the plan is not as it should be.
func (f *facts) broken(part netplumb.Part) {
	f.review[part] = netplumb.Finding{Part: part, Remedy: "mend " + string(part)}
}

// delayed has proxy answers wait for as many hundredths of a second at most.
func (f *facts) delayed(hundredths string) {
	f.broken(netplumb.PartProxyDelay)
	finding := f.review[netplumb.PartProxyDelay]
	finding.Have = hundredths
	f.review[netplumb.PartProxyDelay] = finding
}

func drops(d hostcheck.Drop, what string) []hostcheck.Drop {
	d.Filter, d.Chain, d.By = "inet wall", "c", "rule 1 of chain c"
	d.Packets = []hostcheck.Packet{{In: "kr-web", Source: guestAddr, Destination: guestAddr, What: what}}
	return []hostcheck.Drop{d}
}

func TestJudgement(t *testing.T) {
	lost := trip{tried: true, left: true, entered: true}
	unanswered := trip{tried: true, left: true}
	for name, c := range map[string]struct {
		lan    bool
		spoil  func(f *facts)
		hop    string // the first that fails, or a warning's or what is unknown
		status Status
		words  string // of what was seen or of the remedy
	}{
		"nothing":                 {false, func(*facts) {}, "", OK, ""},
		"nothing, in a LAN":       {true, func(*facts) {}, "", OK, ""},
		"no tap":                  {false, func(f *facts) { f.tap = device{name: "kr-web"}; f.broken(netplumb.PartTap) }, HopTap, Fail, "no kr-web"},
		"another's tap":           {false, func(f *facts) { f.broken(netplumb.PartTap) }, HopTap, Fail, "another's"},
		"down":                    {false, func(f *facts) { f.tap.up = false; f.broken(netplumb.PartRoute) }, HopTap, Fail, "ip link set dev kr-web up\nmend route"},
		"nobody holds the tap":    {false, func(f *facts) { f.tap.carrier = false }, HopTap, Fail, "no QEMU"},
		"small MTU":               {false, func(f *facts) { f.tap.mtu = 1280 }, HopTap, Warn, "mtu 1500"},
		"silent":                  {false, func(f *facts) { f.guest.mac = nil; f.hostTrip = unanswered; f.outward = unanswered }, HopGuest, Fail, "nobody answers"},
		"elsewhere":               {false, func(f *facts) { f.guest.mac = nil; f.elsewhere = owner{addr: router, mac: strange} }, HopGuest, Fail, "for 192.0.2.1"},
		"another card":            {false, func(f *facts) { f.guest.mac = strange }, HopGuest, Fail, "02:00:00:00:00:01"},
		"asking fails":            {false, func(f *facts) { f.guest.mac, f.guest.err = nil, errors.New("no socket") }, HopGuest, Unknown, "no socket"},
		"no address":              {false, func(f *facts) { f.tapOn = ""; f.broken(netplumb.PartAddress) }, HopAddress, Fail, "mend address"},
		"address gone, and route": {false, func(f *facts) { f.tapOn = "eth0"; f.broken(netplumb.PartAddress); f.broken(netplumb.PartRoute) }, HopAddress, Fail, "mend address\nmend route"},
		"address elsewhere":       {false, func(f *facts) { f.tapOn = "eth0"; f.broken(netplumb.PartAddress) }, HopAddress, Warn, "mend address"},
		"no MAC":                  {false, func(f *facts) { f.mac = nil; f.broken(netplumb.PartNeighbour) }, HopNeighbour, Warn, "mend neighbour"},
		"wrong MAC":               {false, func(f *facts) { f.mac = strange; f.broken(netplumb.PartNeighbour) }, HopNeighbour, Fail, "mend neighbour"},
		"learnt MAC":              {false, func(f *facts) { f.broken(netplumb.PartNeighbour) }, HopNeighbour, Warn, "not for good"},
		"no route": {false, func(f *facts) {
			f.toGuest, f.mainRoute = lookup{err: unix.ENETUNREACH}, ""
			f.broken(netplumb.PartRoute)
		}, HopRoute, Fail, "mend route"},
		"route of another": {false, func(f *facts) { f.toGuest, f.mainRoute = lookup{dev: "wg0"}, "wg0"; f.broken(netplumb.PartRoute) }, HopRoute, Fail, "dev wg0"},
		"the host's own":   {false, func(f *facts) { f.toGuest = lookup{dev: "lo", local: true} }, HopRoute, Fail, "its own"},
		"policy rule": {false, func(f *facts) {
			f.toGuest = lookup{dev: "wg0", table: 66}
			f.rules = []rule{{priority: 100, text: "100: x"}}
		}, HopRoute, Fail, "to 10.254.254.2 lookup main pref 99"},
		"output": {false, func(f *facts) {
			f.hostTrip = trip{tried: true, sendErr: unix.EPERM}
			f.drops = drops(hostcheck.Drop{Hook: hostcheck.Output, Certain: true}, toGuest)
		}, HopHost, Fail, "operation not permitted"},
		"never left":           {false, func(f *facts) { f.hostTrip = trip{tried: true} }, HopHost, Fail, "never went out"},
		"no pings":             {false, func(f *facts) { f.hostTrip, f.outward = unanswered, unanswered }, HopHost, Warn, "drops pings"},
		"input":                {false, func(f *facts) { f.hostTrip = lost }, HopHost, Warn, "what comes in"},
		"no uplink":            {false, func(f *facts) { f.cfg.Uplink = "" }, "", OK, ""},
		"uplink gone":          {false, func(f *facts) { f.uplink = device{name: "eth0"} }, HopUplink, Fail, "no eth0"},
		"uplink down":          {false, func(f *facts) { f.uplink.up = false; f.broken(netplumb.PartProxyEntry) }, HopUplink, Fail, "up\nmend proxy"},
		"cable out":            {false, func(f *facts) { f.uplink.carrier = false }, HopUplink, Fail, "no carrier"},
		"another uplink":       {false, func(f *facts) { f.uplink.index = 9 }, HopUplink, Warn, "number 9, not 2"},
		"port of a bridge":     {false, func(f *facts) { f.uplink.master = "br0" }, HopUplink, Warn, "part of br0"},
		"no forwarding":        {false, func(f *facts) { f.tap.forwarding, f.uplink.forwarding = false, false }, HopForwarding, Fail, "on kr-web and on eth0"},
		"strict":               {false, func(f *facts) { f.in.err = unix.EXDEV }, HopRPFilter, Fail, "eth0/rp_filter=2"},
		"strict, newer kernel": {false, func(f *facts) { f.in.err, f.uplink.rpFilter, f.toPeer.dev = unix.EINVAL, 1, "eth1" }, HopRPFilter, Fail, "eth0/rp_filter=2"},
		"rule and blackhole": {false, func(f *facts) {
			f.toGuest = lookup{err: unix.EINVAL}
			f.broken(netplumb.PartRoute)
			f.rules = []rule{{priority: 100, text: "100: x"}}
		}, HopRoute, Fail, "to 10.254.254.2 lookup main pref 99"},
		"not strict":            {false, func(f *facts) { f.tap.rpFilter = 2 }, HopRPFilter, Warn, "kr-web/rp_filter=1"},
		"blackhole for the LAN": {false, func(f *facts) { f.in.err = unix.EINVAL; f.rules = []rule{{priority: 1}} }, HopRouteIn, Fail, "iif eth0 to 10.254.254.2 lookup main pref 0"},
		"another way in":        {false, func(f *facts) { f.in.dev = "wg0" }, HopRouteIn, Fail, "dev wg0"},
		"no way out":            {false, func(f *facts) { f.out.err = unix.EACCES }, HopRouteOut, Fail, "prohibits"},
		"another way out":       {false, func(f *facts) { f.out.dev = "eth1" }, HopRouteOut, Warn, "dev eth1"},
		"nobody to look up for": {false, func(f *facts) { f.in.err, f.out.err = errNotTried, errNotTried }, HopRouteIn, Unknown, "no machine"},
		"forward":               {false, func(f *facts) { f.drops = drops(hostcheck.Drop{Hook: hostcheck.Forward, Certain: true}, fromGuest) }, HopFilters, Fail, "chain c of inet wall"},
		"doubt":                 {false, func(f *facts) { f.drops = drops(hostcheck.Drop{Hook: hostcheck.Forward, Unjudged: true}, fromGuest) }, HopFilters, Warn, "others might not"},
		"doubt, and lost": {false, func(f *facts) {
			f.outward = lost
			f.drops = drops(hostcheck.Drop{Hook: hostcheck.Prerouting, Unjudged: true}, fromGuest)
		}, HopFilters, Fail, `iifname "kr-*" accept`},
		"doubt, lost the other": {false, func(f *facts) {
			f.inward = lost
			f.drops = drops(hostcheck.Drop{Hook: hostcheck.Forward, Unjudged: true}, fromGuest)
		}, HopInward, Fail, "never went out by kr-web"},
		"perhaps, and lost":        {false, func(f *facts) { f.inward = lost; f.drops = drops(hostcheck.Drop{Hook: hostcheck.Forward}, toGuest) }, HopFilters, Fail, "unless a rule"},
		"unreadable":               {false, func(f *facts) { f.dropsErr = errors.New("no nft") }, HopFilters, Unknown, "no nft"},
		"nobody on the LAN":        {false, func(f *facts) { f.peer.owner.mac = nil }, HopLANMachine, Fail, "does not answer ARP"},
		"behind a dead router":     {false, func(f *facts) { f.peer.addr, f.peer.owner.mac = guestAddr, nil }, HopLANMachine, Fail, "192.0.2.1, the router to 10.254.254.2,"},
		"no router":                {false, func(f *facts) { f.peer = peer{} }, HopLANMachine, Unknown, "--with"},
		"rival":                    {true, func(f *facts) { f.rival.mac = strange }, HopRival, Fail, "02:00:00:00:00:01"},
		"rival elsewhere":          {false, func(f *facts) { f.rival.mac = strange }, HopRival, Warn, "another host"},
		"no entry":                 {true, func(f *facts) { f.broken(netplumb.PartProxyEntry) }, HopProxyARP, Fail, "mend proxy"},
		"no entry, none needed":    {false, func(f *facts) { f.broken(netplumb.PartProxyEntry) }, HopProxyARP, Warn, "mend proxy"},
		"asked in vain":            {true, func(f *facts) { f.peerAsked = true; f.inward = unanswered }, HopProxyARP, Fail, "did not answer"},
		"late":                     {true, func(f *facts) { f.delayed("80") }, HopProxyARP, Warn, "800ms"},
		"too late":                 {true, func(f *facts) { f.delayed("60000") }, HopProxyARP, Fail, "10m0s"},
		"too late to ask for":      {false, func(f *facts) { f.delayed("60000") }, HopProxyARP, Warn, "10m0s"},
		"no ARP on the uplink":     {true, func(f *facts) { f.uplink.noARP = true }, HopUplink, Fail, "eth0 arp on"},
		"no ARP on the tap":        {true, func(f *facts) { f.tap.noARP = true }, HopTap, Fail, "kr-web arp on"},
		"late, and asked":          {true, func(f *facts) { f.delayed("80"); f.peerAsked = true; f.inward = unanswered }, HopProxyARP, Warn, "800ms"},
		"no proxy on the tap":      {true, func(f *facts) { f.tap.proxy = false }, HopGateway, Fail, "proxy_arp=1"},
		"none needed":              {false, func(f *facts) { f.tap.proxy = false }, HopGateway, Warn, "other guests"},
		"router silent":            {false, func(f *facts) { f.questions = []question{{router, true}, {hostAddr, false}}; f.outward = unanswered }, HopGateway, Fail, "192.0.2.10"},
		"no alias":                 {false, func(f *facts) { f.broken(netplumb.PartAlias) }, HopGateway, Warn, "last tap"},
		"guest without a router":   {false, func(f *facts) { f.outward = unanswered }, HopOutward, Fail, "by its router 10.254.254.1"},
		"lost outwards":            {false, func(f *facts) { f.outward = lost }, HopOutward, Fail, "between the two"},
		"lost inwards":             {false, func(f *facts) { f.inward = lost }, HopInward, Fail, "between the two"},
		"no way back":              {false, func(f *facts) { f.inward = unanswered }, HopInward, Fail, "ip route add 10.254.254.0/24 via 192.0.2.10 # on 192.0.2.1"},
		"another MAC on the LAN":   {true, func(f *facts) { f.inward = unanswered }, HopInward, Fail, "ip neigh flush 192.0.2.77 # on 192.0.2.1"},
		"LAN answers nobody":       {false, func(f *facts) { f.inward, f.control = unanswered, unanswered }, HopInward, Unknown, "not even this host's"},
		"not sent":                 {false, func(f *facts) { f.inward = trip{tried: true, sendErr: unix.EPERM} }, HopInward, Unknown, "operation not permitted"},
		"no sockets":               {false, func(f *facts) { f.tryErr = errors.New("no raw sockets") }, HopHost, Unknown, "no raw sockets"},
		"uplink without Ethernet":  {false, func(f *facts) { f.rival.asked, f.peer.owner.asked = false, false }, HopLANMachine, Unknown, "no Ethernet"},
		"a router of its own, off": {true, func(f *facts) { f.cfg.ProxyARP = netplumb.ProxyOff; f.broken(netplumb.PartProxyEntry) }, "", OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := sound(c.lan)
			c.spoil(f)
			hops := f.hops()
			named, found := Broken(hops)
			if c.status == Fail {
				if named.Name != c.hop {
					t.Fatalf("%q fails (%s), want %q", named.Name, named.Seen, c.hop)
				}
			} else if found {
				t.Fatalf("%q fails: %s", named.Name, named.Seen)
			}
			for _, h := range hops {
				if h.Name == c.hop {
					named = h
				}
				if h.Seen == "" || c.hop == "" && h.Status != OK && h.Status != Skipped {
					t.Errorf("%+v", h)
				}
			}
			if c.hop != "" && (named.Status != c.status || !strings.Contains(named.Seen+named.Remedy, c.words)) {
				t.Errorf("%+v\nwant %s with %q", named, c.status, c.words)
			}
		})
	}
}

// Of a guest that stands still nothing is asked, but packets to it are followed
// as far as its tap.
func TestJudgementOfGuestThatStandsStill(t *testing.T) {
	f := sound(false)
	f.Still, f.guest, f.hostTrip, f.outward = true, owner{}, trip{}, trip{}
	want := map[string]Status{HopGuest: Skipped, HopHost: Skipped, HopGateway: Skipped, HopOutward: Skipped, HopInward: OK, HopRoute: OK}
	for _, h := range f.hops() {
		if s, named := want[h.Name]; named && h.Status != s || h.Status == Fail {
			t.Errorf("%+v", h)
		}
	}
}

func TestConcernedRules(t *testing.T) {
	f := sound(false)
	prefix := netip.MustParsePrefix
	for name, c := range map[string]struct {
		rule rule
		want bool
	}{
		"all":                 {rule{}, true},
		"the uplink":          {rule{iif: "eth0"}, true},
		"another interface":   {rule{iif: "wg0"}, false},
		"to the guest":        {rule{to: prefix("10.254.0.0/16")}, true},
		"to others":           {rule{to: prefix("10.8.0.0/16")}, false},
		"from the guest":      {rule{iif: "kr-web", from: prefix("10.254.254.2/32")}, true},
		"from another":        {rule{iif: "kr-web", from: prefix("10.254.254.3/32")}, false},
		"from guest to other": {rule{iif: "kr-web", to: prefix("192.0.2.0/24")}, true},
	} {
		if got := f.concerned(c.rule); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
