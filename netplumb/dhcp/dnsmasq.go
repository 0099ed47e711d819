package dhcp

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// DnsmasqArgs returns the arguments, without the program's name, of a dnsmasq
// (dnsmasq(8), 2.80 or newer) that serves the guest of cfg and nobody else. It
// stays in the foreground, keeps no file, reads none of the host's
// configuration, offers without pinging first, and logs to standard error, but
// not each exchange: a guest could fill a disk with them.
// DnsmasqStarted tells from that log when it listens.
//
// cfg.Interface must be up and have the address cfg.ServerID, in the same
// subnet as the guest: a dnsmasq offers only what it finds itself a neighbour
// of. Several may run on one host, one for each tap, also when all taps have
// the same address: each binds its socket to its tap. The error wraps
// ErrConfig.
func DnsmasqArgs(cfg Config) ([]string, error) {
	service, err := dnsmasqService(cfg)
	if err != nil {
		return nil, err
	}
	return append([]string{"--keep-in-foreground", "--log-facility=-", "--quiet-dhcp", "--pid-file="}, service...), nil
}

// DnsmasqInterface is the one of DnsmasqArgs that no other interface's has.
func DnsmasqInterface(name string) string { return "--interface=" + name }

// DnsmasqShell returns the same service as a command for a shell. There
// dnsmasq goes to the background by itself, and the command returns when it
// listens; it ends with `kill "$(cat pidFile)"`.
func DnsmasqShell(cfg Config, pidFile string) (string, error) {
	service, err := dnsmasqService(cfg)
	if err != nil {
		return "", err
	}
	words := []string{"dnsmasq", shellWord("--pid-file=" + pidFile)}
	for _, arg := range service {
		words = append(words, shellWord(arg))
	}
	return strings.Join(words, " \\\n  "), nil
}

// DnsmasqStarted tells whether a line that dnsmasq logged says that its socket
// is bound: what a guest sends from then on is not lost. dnsmasq translates its
// messages; run it with LC_ALL=C in its environment.
func DnsmasqStarted(line string) bool {
	return strings.HasPrefix(line, "dnsmasq[") && strings.Contains(line, "]: started, version ")
}

// dnsmasqService is what is the same however dnsmasq is run.
func dnsmasqService(cfg Config) ([]string, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if !cfg.Address.Contains(cfg.ServerID) {
		return nil, cfg.fault("dnsmasq needs its own address %s in the guest's subnet %s", cfg.ServerID, cfg.Address.Masked())
	}
	addr := cfg.Address.Addr().String()
	mask := net.IP(net.CIDRMask(cfg.Address.Bits(), 32)).String()
	host := []string{cfg.MAC.String(), addr}
	if cfg.HostName != "" {
		host = append(host, cfg.HostName)
	}
	host = append(host, dnsmasqLease(cfg.lease()))
	args := []string{
		"--conf-file=/dev/null", "--no-hosts", "--no-resolv", // nothing of the host's
		"--port=0", // no DNS
		"--bind-interfaces", DnsmasqInterface(cfg.Interface), "--except-interface=lo",
		"--no-ping", "--leasefile-ro", "--dhcp-authoritative",
		// To unicast to a guest without an address dnsmasq would write it into
		// the ARP table (SIOCSARP, arp(7)), where a permanent entry is then
		// one that expires.
		"--dhcp-broadcast",
		"--dhcp-range=" + addr + ",static," + mask,
		"--dhcp-host=" + strings.Join(host, ","),
	}
	return append(args, dnsmasqOptions(cfg)...), nil
}

// dnsmasqOptions are the parameters of addParameters. A router without a value
// keeps dnsmasq from naming itself.
func dnsmasqOptions(cfg Config) []string {
	router := "--dhcp-option=option:router"
	if cfg.Router.IsValid() {
		router += "," + cfg.Router.String()
	}
	args := []string{router}
	if len(cfg.DNS) > 0 {
		servers := "--dhcp-option=option:dns-server"
		for _, server := range cfg.DNS {
			servers += "," + server.String()
		}
		args = append(args, servers)
	}
	if len(cfg.Search) > 0 {
		args = append(args, "--dhcp-option=option:domain-name,"+cfg.Search[0])
	}
	if len(cfg.Search) > 1 {
		args = append(args, "--dhcp-option=option:domain-search,"+strings.Join(cfg.Search, ","))
	}
	if cfg.MTU != 0 {
		args = append(args, "--dhcp-option=option:mtu,"+strconv.Itoa(cfg.MTU))
	}
	return args
}

// dnsmasqLease is a lease time in seconds. Below two minutes dnsmasq takes two
// minutes.
func dnsmasqLease(lease time.Duration) string {
	if lease == Infinite {
		return "infinite"
	}
	return fmt.Sprintf("%d", int64(lease/time.Second))
}

// shellWord quotes a word for a POSIX shell where it needs quotes.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=:,./+@%", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
