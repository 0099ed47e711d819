// Package hostcheck finds what on this host gets in the way of routed guests:
// a firewall that forwards nothing, reverse-path filters, missing devices,
// tables that are nearly full, and what guests open up that they need not. Every check looks and changes nothing, takes no
// more than a few milliseconds, and names the command that mends what it found.
package hostcheck

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Status is what a check came to.
type Status string

// The verdicts, from the best to the worst.
const (
	OK   Status = "ok"   // nothing in the way
	Warn Status = "warn" // guests work, but slower, less safely or not in every case
	Fail Status = "fail" // guests cannot be started or reached
)

// Result is the outcome of one check.
type Result struct {
	// Name names the check and never changes: programs may look for it.
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Seen says in one sentence what is so and, unless all is well, what it
	// does to guests.
	Seen string `json:"seen"`
	// Remedy is shell commands, one per line, that mend it until the next
	// boot; empty where all is well or only a person can help.
	Remedy string `json:"remedy,omitempty"`
}

// Host is what to look at.
type Host struct {
	// Root is put in front of every path; empty means "/". Netlink is always
	// asked in the calling thread's network namespace.
	Root string
	// Uplink is the interface that guests are reached by; empty if there is
	// none.
	Uplink string
	// TapPrefix is what the names of the guests' taps begin with.
	TapPrefix string
}

// Check runs every check, in the order in which a person would want to read
// them.
func (h Host) Check() []Result {
	return []Result{
		h.Tun(), h.VhostNet(),
		h.Forward(), h.UplinkForwarding(), h.UplinkReversePath(), h.TapReversePath(), h.ProxyARP(), h.Neighbours(),
	}
}

func ok(name, format string, args ...any) Result {
	return Result{Name: name, Status: OK, Seen: fmt.Sprintf(format, args...)}
}

func warn(name, remedy, format string, args ...any) Result {
	return Result{Name: name, Status: Warn, Seen: fmt.Sprintf(format, args...), Remedy: remedy}
}

func fail(name, remedy, format string, args ...any) Result {
	return Result{Name: name, Status: Fail, Seen: fmt.Sprintf(format, args...), Remedy: remedy}
}

// unknown is the result of a check that could not look.
func unknown(name string, err error) Result {
	return warn(name, "", "could not be checked: %v", err)
}

func (h Host) path(elements ...string) string {
	return filepath.Join(append([]string{"/", h.Root}, elements...)...)
}

// read returns a small file of /proc without its final newline.
func (h Host) read(elements ...string) (string, error) {
	content, err := os.ReadFile(h.path(elements...))
	return strings.TrimSpace(string(content)), err
}
