package launcher

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb/explain"
)

// addKnown adds to what was seen what is known of the VM.
func (l *Launcher) addKnown(ctx context.Context, e *Explanation, vm Details, patience time.Duration) {
	for i := range e.Hops {
		h := &e.Hops[i]
		if h.Status != explain.Fail {
			continue
		}
		switch h.Name {
		case explain.HopTap:
			if h.Remedy == "" {
				h.Remedy = "kvmrun stop " + vm.Name + " # and start it again"
			}
		case explain.HopGuest:
			l.addGuest(ctx, h, vm, patience)
		}
	}
}

// addGuest says what is known of a guest that does not answer.
func (l *Launcher) addGuest(ctx context.Context, h *explain.Hop, vm Details, patience time.Duration) {
	dir := l.root.Dir(vm.Name)
	h.Seen += "; " + strings.Join(guestHistory(vm, lastDHCP(dir)), ", ")
	h.Look = strings.TrimPrefix(h.Look+"\nkvmrun logs "+vm.Name, "\n")
	if vm.Reachable.IsZero() {
		return
	}
	// QEMU does not tell whether the links of its ends are up. Raising them does no
	// harm.
	var lines []string
	for _, end := range l.cableEnds(ctx, dir, vm.MAC, patience) {
		lines = append(lines, fmt.Sprintf(`kvmrun qmp %s set_link '{"name": "%s", "up": true}' # if its cable was pulled by set_link`, vm.Name, end))
	}
	h.Remedy = strings.Join(lines, "\n")
}

// addConflict names the rival that the VM's supervisor knows of. It may answer no
// ARP at this moment, and be heard again in the next.
func addConflict(e *Explanation, vm VM) {
	if vm.Conflict == nil {
		return
	}
	for i := range e.Hops {
		h := &e.Hops[i]
		if h.Name != explain.HopRival {
			continue
		}
		known := conflictText(vm)
		switch h.Status {
		case explain.Fail, explain.Warn:
			h.Seen += "; " + known
		default:
			h.Status, h.Seen = explain.Warn, known+"; now it does not answer ARP"
		}
	}
}

// guestHistory is how the guest came to its address, or did not.
func guestHistory(vm Details, dhcp string) []string {
	var known []string
	switch vm.Spec.Network.DHCP {
	case DHCPOff:
		known = append(known, "nobody tells it its address (--dhcp off)")
	case DHCPDnsmasq:
		known = append(known, "dnsmasq tells it its address")
	default:
		known = append(known, dhcpHistory(vm, dhcp))
	}
	if vm.Reachable.IsZero() {
		return append(known, "it has never answered at its address")
	}
	return append(known, "it first answered at "+vm.Reachable.Format(time.RFC3339))
}

// dhcpHistory is the last word between the guest and the built-in DHCP.
func dhcpHistory(vm Details, event string) string {
	switch event {
	case "":
		return fmt.Sprintf("it has not asked for it by DHCP in the %s since its start, so it still boots, or has no DHCP client on that card",
			time.Since(vm.Started).Truncate(time.Second))
	case "dhcp-acknowledged":
		return "it was told it by DHCP"
	case "dhcp-offered":
		return "it was offered it by DHCP, and did not take it"
	case "dhcp-refused":
		return "by DHCP it wanted another, which was refused"
	case "dhcp-declined":
		return "it declined it by DHCP: it takes it for another's"
	case "dhcp-released":
		return "it gave it back by DHCP"
	}
	return "the last of its DHCP is " + event
}

// lastDHCP is the last event of DHCP's; "" if there is none.
func lastDHCP(dir vmdir.Dir) (last string) {
	f, err := os.Open(dir.File(vmdir.EventsFile))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e vmdir.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && strings.HasPrefix(e.Event, "dhcp-") {
			last = e.Event
		}
	}
	return last
}

// cableEnds are the names by which QEMU knows the VM's card and its tap; none if it
// does not say.
func (l *Launcher) cableEnds(ctx context.Context, dir vmdir.Dir, mac string, patience time.Duration) []string {
	var clients string
	args := map[string]string{"command-line": "info network"}
	if askMonitor(ctx, dir, patience, "human-monitor-command", args, &clients) != nil {
		return nil
	}
	return endsNamed(clients, mac)
}

// askMonitor runs one command on the monitor, if that can be had in time.
func askMonitor(ctx context.Context, dir vmdir.Dir, patience time.Duration, command string, args, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := dialMonitor(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	return client.Execute(ctx, command, args, reply)
}

// endsNamed finds the taps and the card with a MAC in what QEMU's info network
// prints. Behind a hub the hub's port is named before either. Names that are no
// words are left out: a shell is to read them.
func endsNamed(clients, mac string) []string {
	return clientsNamed(clients, func(about string) bool {
		return strings.Contains(about, ",type=tap") || strings.Contains(strings.ToLower(about), "macaddr="+mac)
	})
}

// CardNamed is the name by which QEMU knows the card with a MAC, as its info network
// prints it; "" if there is none. It is what set_link wants.
func CardNamed(clients, mac string) string {
	names := clientsNamed(clients, func(about string) bool {
		return strings.Contains(strings.ToLower(about), "macaddr="+mac)
	})
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// clientsNamed are the names of those in a list of info network's that match.
func clientsNamed(clients string, match func(about string) bool) (names []string) {
	for line := range strings.Lines(clients) {
		before, rest, _ := strings.Cut(strings.TrimLeft(line, ` \`), ": index=")
		if match(rest) {
			if name := before[strings.LastIndexByte(before, ' ')+1:]; clientName.MatchString(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

var clientName = regexp.MustCompile(`^[#\w.-]+$`)
