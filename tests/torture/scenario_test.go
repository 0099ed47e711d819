package torture

import (
	"testing"

	"kvmrun/tests/lab"
	"kvmrun/tests/trace"
)

// scenario is something to do with a VM, at whose system calls is killed.
type scenario struct {
	name string
	// says what is done, for the table.
	says string
	// prepare does what comes before, undisturbed. It may be nil.
	prepare func(t *testing.T, m *machine) error
	// args of the command of kvmrun's that is followed.
	args func(t *testing.T, m *machine) []string
	// disturb is, in place of args, a shell script that disturbs a VM, and ends
	// when that is mended, or when nobody is left to do it. It is never killed.
	disturb func(t *testing.T, m *machine) string
	// running is what the supervisors are to whom kills that there are before, and
	// that are followed, too; empty if there is none.
	running trace.Role
	cuts    []cut
}

// command is the command line that is followed.
func (s scenario) command(t *testing.T, m *machine) []string {
	t.Helper()
	if s.disturb != nil {
		return []string{"/bin/sh", "-euc", s.disturb(t, m)}
	}
	return append([]string{lab.Binary(t)}, s.args(t, m)...)
}

// cut says at whose calls is killed, and who.
type cut struct {
	trigger trace.Role
	name    string // of the victims
	victims []trace.Role
}

var everybody = []trace.Role{trace.Command, trace.Supervisor, trace.QEMU, trace.Dnsmasq}

// The cuts that make sense, by name.
var (
	command       = cut{trace.Command, "command", []trace.Role{trace.Command}}
	commandAndAll = cut{trace.Command, "all", everybody}
	supervisor    = cut{trace.Supervisor, "supervisor", []trace.Role{trace.Supervisor}}
	both          = cut{trace.Supervisor, "both", []trace.Role{trace.Command, trace.Supervisor}}
	withQEMU      = cut{trace.Supervisor, "supervisor+QEMU", []trace.Role{trace.Supervisor, trace.QEMU}}
	onlyQEMU      = cut{trace.Supervisor, "QEMU", []trace.Role{trace.QEMU}}
	onlyDnsmasq   = cut{trace.Supervisor, "dnsmasq", []trace.Role{trace.Dnsmasq}}
	caller        = cut{trace.Supervisor, "caller", []trace.Role{trace.Caller}}
	all           = cut{trace.Supervisor, "all", everybody}

	// Where a neighbour hires a supervisor.
	neighbour    = cut{trace.Neighbour, "neighbour", []trace.Role{trace.Neighbour}}
	nobodyIsLeft = cut{trace.Supervisor, "everybody", []trace.Role{trace.Neighbour, trace.Supervisor, trace.QEMU}}
)

// scenarios are all that is tortured.
var scenarios = []scenario{
	{
		name: "start", says: "`start`",
		args: frozen,
		cuts: []cut{command, commandAndAll, supervisor, both, withQEMU, onlyQEMU, all},
	},
	{
		name: "start-lan", says: "`start --ip` of the LAN, `--proxy-arp interface`, `--dhcp dnsmasq`, `--ephemeral`",
		args: lanWithDnsmasq,
		cuts: []cut{command, supervisor, both, onlyDnsmasq, all},
	},
	{
		name: "start-devices", says: "`start --tpm --share --vnc`",
		args: withDevices,
		cuts: []cut{withQEMU, all},
	},
	{
		name: "stop-force", says: "`stop --force`",
		prepare: startFrozen, running: trace.Supervisor,
		args: words("stop", "--force", "torture"),
		cuts: []cut{command, commandAndAll, supervisor, both, onlyQEMU, all},
	},
	{
		name: "stop", says: "`stop` by the power button, which the guest does not hear",
		prepare: startDeaf, running: trace.Supervisor,
		args: words("stop", "--timeout", "1s", "torture"),
		cuts: []cut{command, supervisor, all},
	},
	{
		name: "stop-lan", says: "`stop` of the VM in the LAN",
		prepare: func(t *testing.T, m *machine) error { _, err := m.run(t, lanWithDnsmasq(t, m)...); return err },
		running: trace.Supervisor,
		args:    words("stop", "--force", "torture"),
		cuts:    []cut{supervisor, onlyDnsmasq, all},
	},
	{
		name: "gc", says: "`gc` of a VM of which all is dead",
		prepare: startAndKill("supervisor", "QEMU"),
		args:    words("gc"),
		cuts:    []cut{command, supervisor, both},
	},
	{
		name: "gc-adopts", says: "`gc` of a VM whose supervisor is dead",
		prepare: startAndKill("supervisor"),
		args:    words("gc"),
		cuts:    []cut{command, supervisor, both, all},
	},
	{
		name: "adopt", says: "`adopt --all`",
		prepare: startFrozen, running: trace.Supervisor,
		args: words("adopt", "--all"),
		cuts: []cut{command, caller, supervisor, both, all},
	},
	{
		name: "stop-all", says: "`stop --all --force` of two VMs",
		prepare: startTwo, running: trace.Supervisor,
		args: words("stop", "--all", "--force"),
		cuts: []cut{command, commandAndAll, caller},
	},
	{
		name: "hire", says: "death of a supervisor, whose VM's neighbour hires another",
		prepare: startTwo, running: trace.Neighbour,
		disturb: killSupervisor,
		cuts:    []cut{neighbour, supervisor, nobodyIsLeft},
	},
	{
		name: "bury", says: "death of a supervisor and its QEMU, whose neighbour hires another to clean up",
		prepare: startTwo, running: trace.Neighbour,
		disturb: killVM,
		cuts:    []cut{supervisor},
	},
	{
		name: "repair", says: "repair of a route and a proxy entry, and of what is lost when the uplink flaps",
		prepare: startInLAN, running: trace.Supervisor,
		disturb: spoilNetwork,
		cuts:    []cut{supervisor},
	},
	{
		name: "uplink", says: "repair after the uplink has gone, and returned with another number",
		prepare: startBehindUplink, running: trace.Supervisor,
		disturb: replaceUplink,
		cuts:    []cut{supervisor},
	},
}

// words is a command line that is always the same.
func words(args ...string) func(*testing.T, *machine) []string {
	return func(*testing.T, *machine) []string { return args }
}

// frozen is a VM that costs next to nothing: its processor never runs.
func frozen(t *testing.T, _ *machine) []string { return frozenAs(t, "torture") }

func frozenAs(t *testing.T, name string, flags ...string) []string {
	t.Helper()
	args := []string{"start", "--accel", "tcg", "--name", name, "--memory", "16M", "--kernel", lab.Guest(t).Kernel}
	return append(append(args, flags...), "--", "-S")
}

func startFrozen(t *testing.T, m *machine) error {
	_, err := m.run(t, frozen(t, m)...)
	return err
}

// startAndKill starts a VM and kills some of its processes.
func startAndKill(victims ...string) func(*testing.T, *machine) error {
	return func(t *testing.T, m *machine) error {
		if err := startFrozen(t, m); err != nil {
			return err
		}
		return m.killProcesses(t, "torture", victims...)
	}
}

// lanWithDnsmasq is a VM that takes everything of the host's that a VM can take.
func lanWithDnsmasq(_ *testing.T, m *machine) []string {
	return []string{"start", m.disk, "--accel", "tcg", "--name", "torture", "--memory", "16M", "--ephemeral",
		"--ip", "192.0.2.50", "--proxy-arp", "interface", "--dhcp", "dnsmasq", "--", "-S"}
}

// startDeaf starts a VM whose firmware finds nothing to boot. It runs, and does
// not hear its power button.
func startDeaf(t *testing.T, m *machine) error {
	_, err := m.run(t, "start", m.disk, "--accel", "tcg", "--name", "torture", "--memory", "16M")
	return err
}

// withDevices is frozen for a machine with a TPM, a shared folder and a screen.
func withDevices(t *testing.T, m *machine) []string {
	args := frozen(t, m)
	return append([]string{args[0], "--tpm", "--share", "/run:run", "--vnc"}, args[1:]...)
}
