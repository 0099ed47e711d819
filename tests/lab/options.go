package lab

// Option changes the lab that [New] builds.
type Option func(*config)

type config struct {
	defaultRoute bool
	guestRoute   bool
	peers        int
	resolvConf   string
}

func defaults() config {
	return config{
		defaultRoute: true,
		guestRoute:   true,
		resolvConf:   "nameserver " + LANAddress + "\n",
	}
}

// NoDefaultRoute leaves the host without a default route, so that it has no
// uplink by itself. Its eth0 and address are there.
func NoDefaultRoute() Option { return func(c *config) { c.defaultRoute = false } }

// NoGuestRoute leaves the LAN without its route to [GuestSubnet] by way of the
// host: what is reached all the same is reached by proxy ARP alone.
func NoGuestRoute() Option { return func(c *config) { c.guestRoute = false } }

// LANPeers adds n machines to the LAN, at 192.0.2.2 and counting up. The
// LAN's first machine then is the switch as well: its eth0 is a bridge.
func LANPeers(n int) Option { return func(c *config) { c.peers = n } }

// ResolvConf is the content of /etc/resolv.conf in all worlds of the lab.
func ResolvConf(content string) Option { return func(c *config) { c.resolvConf = content } }
