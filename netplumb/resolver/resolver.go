// Package resolver finds the DNS servers that a guest should be told.
//
// The host's own configuration often names a stub on a loopback address, which
// a guest cannot reach. Then what counts is the stub's upstreams, which the
// common stubs write to a file.
package resolver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is where a host says which servers it asks (resolv.conf(5)).
const File = "/etc/resolv.conf"

// upstreams are the files in which stubs name the servers behind them.
var upstreams = []string{
	"/run/systemd/resolve/resolv.conf",            // systemd-resolved(8)
	"/run/NetworkManager/no-stub-resolv.conf",     // NetworkManager(8), beside any of its stubs
	"/run/NetworkManager/resolv.conf",             // NetworkManager, where it manages no resolv.conf
	"/run/dnsmasq/resolv.conf",                    // Debian's resolvconf, for a local dnsmasq
	"/run/resolvconf/resolv.conf",                 // resolvconf(8), where /etc has a stub of its own
	"/var/run/NetworkManager/no-stub-resolv.conf", // where /var/run is not /run
}

// longestFile is how much of a file is read, in bytes.
const longestFile = 64 << 10

// Config is what a guest is told about DNS.
type Config struct {
	// Servers are IPv4 addresses in order of preference that are not the
	// host's loopback. Empty where the host has none to offer.
	Servers []netip.Addr
	// Search lists domains to look names up in, the host's own first.
	Search []string
	// Source is the file that the servers are from; empty without servers.
	Source string
}

// Read returns what a guest should be told on this host. Servers come from
// /etc/resolv.conf, or from the upstreams of its stub where every server in it
// is a loopback one or IPv6. Files that do not exist say nothing and are no
// error. root is put in front of every path; it is "/" outside of tests.
func Read(root string) (Config, error) {
	var found Config
	for _, name := range append([]string{File}, upstreams...) {
		text, err := readFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Config{}, fmt.Errorf("find the host's DNS servers: %w", err)
		}
		parsed := Parse(text)
		if found.Search == nil {
			found.Search = parsed.Search
		}
		if found.Servers = forGuests(parsed.Servers); len(found.Servers) > 0 {
			found.Source = name
			break
		}
	}
	return found, nil
}

// OfHost returns the servers that this host asks itself, those on its own loopback
// among them. A file that does not exist names none and is no error. root is as for [Read].
func OfHost(root string) ([]netip.Addr, error) {
	text, err := readFile(filepath.Join(root, File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the host's DNS servers: %w", err)
	}
	return Parse(text).Servers, nil
}

func readFile(path string) (text string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // only read
	content, err := io.ReadAll(io.LimitReader(file, longestFile))
	return string(content), err
}

// Parse reads the text of a resolv.conf as resolv.conf(5) has it: every
// nameserver counts, of search and domain the last one. Servers may be of any
// kind, loopback and IPv6 included. What it does not understand it skips, as
// resolvers do.
func Parse(text string) Config {
	var c Config
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") || strings.HasPrefix(fields[0], ";") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(fields[1]); err == nil && !slices.Contains(c.Servers, addr.Unmap()) {
				c.Servers = append(c.Servers, addr.Unmap())
			}
		case "domain":
			c.Search = domains(fields[1:2])
		case "search":
			c.Search = domains(fields[1:])
		}
	}
	return c
}

// domains drops the root domain, by which systemd-resolved says that there is
// none to search, and the dot at the end of the others.
func domains(words []string) []string {
	var list []string
	for _, word := range words {
		if name := strings.TrimSuffix(word, "."); name != "" {
			list = append(list, name)
		}
	}
	return list
}

// forGuests keeps the servers that a guest with IPv4 can ask. To a resolver
// 0.0.0.0 is the host itself.
func forGuests(servers []netip.Addr) []netip.Addr {
	var list []netip.Addr
	for _, server := range servers {
		if server.Is4() && !server.IsLoopback() && !server.IsUnspecified() {
			list = append(list, server)
		}
	}
	return list
}
