package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"kvmrun/launcher/qemu"
	"kvmrun/netplumb"
	"kvmrun/netplumb/hostcheck"
)

// Check is one thing that was looked at on this host.
type Check struct {
	VM     string           `json:"vm,omitempty"` // whose network it belongs to
	Name   string           `json:"name"`
	Status hostcheck.Status `json:"status"`
	Want   string           `json:"want,omitempty"`
	Have   string           `json:"have"`
	Remedy string           `json:"remedy,omitempty"`
}

// CheckHost reviews this host: what would get in the way of VMs, and whether
// the network of each VM is as it should be. It changes nothing.
func (l *Launcher) CheckHost(ctx context.Context, qemuProgram string) ([]Check, error) {
	host, err := netplumb.OpenHost(l.root.Net())
	if err != nil {
		return nil, during("check the host", err)
	}
	defer func() { _ = host.Close() }()
	uplink, err := host.DefaultUplink()
	if err != nil {
		return nil, during("check the host", err)
	}
	checks := []Check{checkQEMU(ctx, qemuProgram), checkKVM(), checkUplink(uplink)}
	looked := hostcheck.Host{Uplink: uplink, TapPrefix: tapPrefix}
	for _, r := range looked.Check() {
		checks = append(checks, Check{Name: r.Name, Status: r.Status, Have: r.Seen, Remedy: r.Remedy})
	}
	vms, err := l.checkVMs(host)
	return append(checks, vms...), during("check the host", err)
}

// checkVMs holds each VM's plan against the host.
func (l *Launcher) checkVMs(host *netplumb.Host) ([]Check, error) {
	names, err := l.root.Names()
	if err != nil {
		return nil, err
	}
	var checks []Check
	for _, name := range names {
		vm, err := l.look(l.root.Dir(name))
		if ignoreGone(err) != nil {
			checks = append(checks, checkRecord(name, err))
		}
		if err != nil || vm.State == Failed || vm.Details.Plan == nil {
			continue // it ends just now, or has ended
		}
		checks = append(checks, checkSupervision(vm))
		if vm.State == Dead {
			continue // what is left of its network goes with it
		}
		checks = append(checks, checkNetwork(vm.VM, vm.Details.Plan.Review(host))...)
		checks = append(checks, checkConflict(vm.VM)...)
	}
	return checks, nil
}

// checkNetwork turns what a VM's network was found to be into checks. A tap
// cannot be put back while QEMU holds the one that is gone.
func checkNetwork(vm VM, findings []netplumb.Finding) []Check {
	checks := make([]Check, len(findings))
	for i, f := range findings {
		checks[i] = Check{VM: vm.Name, Name: f.Step, Status: hostcheck.OK, Want: f.Want, Have: f.Have, Remedy: f.Remedy}
		if !f.OK {
			checks[i].Status = hostcheck.Fail
		}
		if !f.OK && f.Step == "tap "+vm.Tap {
			checks[i].Remedy = "kvmrun stop " + vm.Name + " # and start it again"
		}
	}
	return checks
}

// checkRecord is for a VM of which cannot be said how it should be.
func checkRecord(name string, err error) Check {
	return Check{VM: name, Name: "record", Status: hostcheck.Fail, Want: "readable", Have: err.Error()}
}

func checkSupervision(vm Details) Check {
	c := Check{VM: vm.Name, Name: "supervisor", Status: hostcheck.OK, Want: "supervised", Have: "supervised"}
	switch {
	case vm.State == Dead:
		c.Status, c.Have, c.Remedy = hostcheck.Fail, vm.Reason, "kvmrun stop "+vm.Name
	case !vm.Supervised:
		c.Status, c.Have, c.Remedy = hostcheck.Fail, "nobody answers DHCP or cleans up", "kvmrun adopt "+vm.Name
	}
	return c
}

// checkConflict tells of another machine that claims the VM's address.
func checkConflict(vm VM) []Check {
	if vm.Conflict == nil {
		return nil
	}
	return []Check{{
		VM: vm.Name, Name: "address " + vm.IP, Status: hostcheck.Fail, Want: "nobody else's on the LAN",
		Have:   conflictText(vm),
		Remedy: "kvmrun stop " + vm.Name + " # and start it at another address, or take this one from that machine",
	}}
}

func conflictText(vm VM) string {
	return fmt.Sprintf("%s claims it, too, since %s", vm.Conflict.MAC, vm.Conflict.Since.Format(time.RFC3339))
}

func checkUplink(uplink string) Check {
	if uplink == "" {
		return Check{Name: "uplink", Status: hostcheck.Warn,
			Have: "there is no default route: guests reach this host and one another only", Remedy: "kvmrun start --uplink INTERFACE …"}
	}
	return Check{Name: "uplink", Status: hostcheck.OK, Have: uplink}
}

func checkKVM() Check {
	return judgeKVM(qemu.CheckKVM())
}

// judgeKVM says what to do where KVM does not work. Only a device that is not
// there may be had by a command.
func judgeKVM(err error) Check {
	const slow = "guests are emulated by TCG, many times slower"
	c := Check{Name: "kvm", Status: hostcheck.Warn}
	switch {
	case err == nil:
		c.Status, c.Have = hostcheck.OK, qemu.KVMDevice+" works"
	case errors.Is(err, qemu.ErrNoVirtualisation):
		c.Have = fmt.Sprintf("%v: %s; switch virtualisation on in the firmware or, where this host is itself a VM, nested virtualisation on its host", err, slow)
	case errors.Is(err, fs.ErrNotExist):
		c.Have, c.Remedy = fmt.Sprintf("%v: %s", err, slow), "modprobe kvm_intel || modprobe kvm_amd"
	default:
		c.Have = fmt.Sprintf("%v: %s", err, slow)
	}
	return c
}

// oldestQEMU is the first major version that kvmrun's arguments suit.
const oldestQEMU = 7

var qemuVersion = regexp.MustCompile(`version (\d{1,9})\.(\d{1,9})`)

const installQEMU = "apt install qemu-system-x86"

// checkQEMU asks the program for its version.
func checkQEMU(ctx context.Context, program string) Check {
	c := Check{Name: "qemu", Status: hostcheck.Fail, Remedy: installQEMU}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		c.Have = err.Error()
		return c
	}
	return judgeQEMU(program, out)
}

// judgeQEMU reads what the program says of its version.
func judgeQEMU(program string, said []byte) Check {
	c := Check{Name: "qemu", Status: hostcheck.Fail, Remedy: installQEMU}
	found := qemuVersion.FindSubmatch(said)
	if found == nil {
		c.Have = program + " does not tell its version"
		return c
	}
	c.Have = string(found[1]) + "." + string(found[2])
	if major, err := strconv.Atoi(string(found[1])); err != nil || major < oldestQEMU {
		c.Want = "7.2 or newer"
		return c
	}
	c.Status, c.Remedy = hostcheck.OK, ""
	return c
}
