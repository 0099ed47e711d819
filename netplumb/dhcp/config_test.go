package dhcp

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::1")
	for name, c := range map[string]struct {
		change func(*Config)
		word   string // of the complaint; empty: none
	}{
		"whole":                   {func(*Config) {}, ""},
		"the least":               {func(c *Config) { c.Router, c.DNS, c.HostName, c.Search, c.MTU = netip.Addr{}, nil, "", nil, 0 }, ""},
		"infinite":                {func(c *Config) { c.Lease = Infinite }, ""},
		"an underscore":           {func(c *Config) { c.Search = []string{"_x.example"} }, ""},
		"nothing":                 {func(c *Config) { *c = Config{} }, "interface"},
		"a long interface name":   {func(c *Config) { c.Interface = "a123456789012345" }, "interface"},
		"a slash in it":           {func(c *Config) { c.Interface = "a/b" }, "interface"},
		"a newline in it":         {func(c *Config) { c.Interface = "a\nb" }, "interface"},
		"two dots":                {func(c *Config) { c.Interface = ".." }, "interface"},
		"no MAC":                  {func(c *Config) { c.MAC = nil }, "MAC"},
		"a long MAC":              {func(c *Config) { c.MAC = make(net.HardwareAddr, 8) }, "MAC"},
		"a group MAC":             {func(c *Config) { c.MAC = net.HardwareAddr{1, 0, 0, 0, 0, 0} }, "group"},
		"IPv6":                    {func(c *Config) { c.Address = netip.PrefixFrom(six, 64) }, "guest address"},
		"no address":              {func(c *Config) { c.Address = netip.Prefix{} }, "guest address"},
		"an IPv6 router":          {func(c *Config) { c.Router = six }, "router"},
		"an IPv6 server":          {func(c *Config) { c.DNS = []netip.Addr{six} }, "DNS"},
		"no server identifier":    {func(c *Config) { c.ServerID = netip.Addr{} }, "identifier"},
		"an MTU of 67":            {func(c *Config) { c.MTU = 67 }, "MTU"},
		"an MTU of 65536":         {func(c *Config) { c.MTU = 65536 }, "MTU"},
		"a negative lease":        {func(c *Config) { c.Lease = -time.Second }, "lease"},
		"a lease of milliseconds": {func(c *Config) { c.Lease = time.Millisecond }, "lease"},
		"beyond infinity":         {func(c *Config) { c.Lease = Infinite + 1 }, "lease"},
		"two labels":              {func(c *Config) { c.HostName = "a.b" }, "host name"},
		"a hyphen first":          {func(c *Config) { c.HostName = "-a" }, "host name"},
		"64 characters":           {func(c *Config) { c.HostName = strings.Repeat("a", 64) }, "host name"},
		"an empty label":          {func(c *Config) { c.Search = []string{"a.b", "a..b"} }, "domain"},
		"254 characters":          {func(c *Config) { c.Search = []string{strings.Repeat("a.", 127)} }, "domain"},
	} {
		cfg := testConfig()
		c.change(&cfg)
		err := cfg.Validate()
		if c.word == "" && err != nil || c.word != "" && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.word)) {
			t.Errorf("%s: %v, want a complaint about %q", name, err, c.word)
		}
	}
}
