package launcher

import (
	"context"
	"regexp"
	"strconv"
	"strings"
)

// Condition is something about a VM that can be waited for. It is found out in one
// of three ways: by the VM's record, by its console, or by asking.
type Condition struct {
	text    string
	console *regexp.Regexp // what the console must have said; nil for no matter
	// ask returns nil as soon as it is so, and else when its context ends, with the
	// reason if it knows one, or with a finalError at once. It is called once begins says that it makes sense; nil
	// if there is nobody to ask.
	ask    func(context.Context, *Launcher, *Details) error
	begins func(*Details) bool
}

// The conditions that need no parameter.
var (
	WaitNone    = Condition{text: "none"}    // a supervisor has the VM
	WaitRunning = Condition{text: "running"} // QEMU runs, the network stands
	WaitNet     = Condition{text: "net"}     // the guest answers at its address
	WaitSSH     = serving("ssh", sshPort, sshGreeting)
	WaitExit    = Condition{text: "exit"} // the VM has ended
	WaitAgent   = Condition{text: "agent", begins: agentThere, ask: askAgent}
	// WaitCloudInit is that the guest's cloud-init has done all that it was to do.
	WaitCloudInit = Condition{text: "cloud-init", begins: cloudInitBegins, ask: askCloudInit}
)

// Conditions with a parameter begin so.
const (
	consolePrefix = "console:"
	portPrefix    = "port:"
)

// ParseCondition reads none, running, net, ssh, agent, cloud-init, exit, port:N or
// console:REGEX, where N is a TCP port of the guest's and REGEX is in the syntax of Go's package regexp
// and is matched against the console's lines.
func ParseCondition(text string) (Condition, error) {
	if pattern, ok := strings.CutPrefix(text, consolePrefix); ok {
		re, err := regexp.Compile("(?m)" + pattern)
		if err != nil || pattern == "" {
			return Condition{}, fail(KindUsage, "see https://pkg.go.dev/regexp/syntax", "%q does not end with a regular expression", text)
		}
		return Condition{text: text, console: re}, nil
	}
	if number, ok := strings.CutPrefix(text, portPrefix); ok {
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil || port == 0 {
			return Condition{}, fail(KindUsage, "write it like port:80", "%.40q names no TCP port", text)
		}
		return serving(text, uint16(port), ""), nil
	}
	for _, c := range []Condition{WaitNone, WaitRunning, WaitNet, WaitSSH, WaitAgent, WaitCloudInit, WaitExit} {
		if c.text == text {
			return c, nil
		}
	}
	return Condition{}, fail(KindUsage, "choose one of running, net, ssh, agent, cloud-init, port:N, console:REGEX, exit", "there is no condition %.40q", text)
}

// ParseConditions reads several, each as ParseCondition does. none goes with no other.
func ParseConditions(texts []string) ([]Condition, error) {
	all := make([]Condition, len(texts))
	for i, text := range texts {
		var err error
		if all[i], err = ParseCondition(text); err != nil {
			return nil, err
		}
		if all[i].Is(WaitNone) && len(texts) > 1 {
			return nil, fail(KindUsage, "leave one of them out", "none is to wait for nothing, beside something else")
		}
	}
	return all, nil
}

// serving is that a server answers at a TCP port of the guest's, with a greeting
// where it has one.
func serving(text string, port uint16, greeting string) Condition {
	return Condition{
		text:   text,
		begins: func(vm *Details) bool { return !vm.Reachable.IsZero() }, // an address nobody has is silent
		ask: func(ctx context.Context, _ *Launcher, vm *Details) error {
			return knock(ctx, dialTCP(vm.Spec.Network.IP, port), greeting)
		},
	}
}

// String is the condition as ParseCondition reads it.
func (c Condition) String() string { return c.text }

// Is tells whether two conditions are the same.
func (c Condition) Is(other Condition) bool { return c.text == other.text }

// describe lists conditions for a message.
func describe(all []Condition) string {
	texts := make([]string, len(all))
	for i, c := range all {
		texts[i] = c.text
	}
	return strings.Join(texts, " and ")
}
