package qemu

import (
	"flag"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// full is a VM with something of everything.
func full(machine string) Config {
	return Config{
		Binary: "qemu-system-x86_64", Name: "web", UUID: "6f0d5b6e-4f0e-4c1c-9f0b-7a6a5e0c1d2e",
		Machine: machine, Accel: TCG, CPUs: 2, Memory: 512 << 20,
		Disks: []Disk{{ID: "disk0", Layers: []Layer{
			{Source: "/dev/fdset/1", Format: "qcow2"},
			{Source: "/dev/fdset/2", Format: "raw", ReadOnly: true},
		}}},
		NIC: NIC{
			Form: FormNetdev, Model: DefaultModel, MAC: net.HardwareAddr{0x52, 0x54, 10, 254, 254, 2},
			Tap: Tap{FDs: []int{8}},
		},
		Console:  Console{Socket: Socket{ID: "console0", FD: 7}, Log: "/dev/fdset/3"},
		Monitors: []Socket{{ID: "qmp-supervisor", FD: 5}, {ID: "qmp-user", FD: 6}},
		Agent:    "/proc/self/fd/10/port",
		Sets:     []FDSet{{3, 1}, {4, 2}, {9, 3}},
	}
}

// bare is a machine without a disk or a card.
func bare(machine string) Config {
	c := full(machine)
	c.Disks, c.NIC, c.Monitors, c.Sets, c.Agent = nil, NIC{}, nil, nil, ""
	return c
}

// The vectors of whole machines, one argument a line. After a change that is
// meant: go test ./launcher/qemu -update, and read the difference.
func TestWholeVectors(t *testing.T) {
	classic := full(PC)
	classic.NIC.Form, classic.NIC.Model = FormNet, "e1000"
	kernel := full(MicroVM)
	kernel.Disks = nil
	kernel.Boot = Boot{Kernel: "/proc/self/fd/3", Initrd: "/proc/self/fd/4", Append: "console=ttyS0 quiet"}
	uefi := full(Q35)
	uefi.UEFI = &UEFI{Code: Layer{Source: "/dev/fdset/4", Format: "raw", ReadOnly: true}, Variables: Layer{Source: "/dev/fdset/5", Format: "qcow2"}, SMM: true}
	screen := full(PC)
	screen.Screen, screen.TPM = new(Screen), &TPM{FD: 11}
	screen.Shares = []Share{{Tag: "data", FD: 12}, {Tag: "b", Path: "/run/a,b"}}
	for name, c := range map[string]Config{"pc-screen": screen, "uefi-secure": uefi, "q35": full(Q35), "pc-e1000": classic, "microvm": full(MicroVM), "microvm-kernel": kernel} {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", name+".args")
			got := strings.Join(c.Args(), "\n") + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the vector has changed (-golden +now):\n%s", diff)
			}
		})
	}
}

// values are what stands behind each occurrence of an option.
func values(args []string, option string) []string {
	var found []string
	for i, arg := range args[:len(args)-1] {
		if arg == option {
			found = append(found, args[i+1])
		}
	}
	return found
}

func TestComponents(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		option string
		want   []string
	}{
		{"memory in MiB", func(c *Config) { c.Memory = 3 << 30 }, "-m", []string{"3072M"}},
		{"processors", func(c *Config) { c.CPUs = 255 }, "-smp", []string{"255"}},
		{"TCG's processor", func(c *Config) { c.Accel = TCG }, "-cpu", []string{"max,la57=off"}},
		{"KVM's processor", func(c *Config) { c.Accel = KVM }, "-cpu", []string{"host"}},
		{"the user's processor", func(c *Config) { c.CPU = "Nehalem,-sse4.2" }, "-cpu", []string{"Nehalem,-sse4.2"}},
		{"strict sandbox", func(*Config) {}, "-sandbox", []string{"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}},
		{"no monitors", func(*Config) {}, "-mon", nil},
		{"a monitor by path", func(c *Config) { c.Monitors = []Socket{{ID: "m", Path: "/run/a,b/qmp"}} }, "-mon", []string{"mode=control,chardev=m"}},
		{"a comma in a path", func(c *Config) {
			c.Monitors = []Socket{{ID: "m", Path: "/run/a,b/qmp"}}
			c.Console = Console{Socket: Socket{ID: "c", Path: "/c,d"}, Log: "/e,f,"}
		}, "-chardev", []string{
			"socket,id=m,path=/run/a,,b/qmp,server=on,wait=off",
			"socket,id=c,path=/c,,d,server=on,wait=off,logfile=/e,,f,,,logappend=on",
		}},
		{"descriptors", func(c *Config) { c.Sets = []FDSet{{3, 1}, {4, 2}} }, "-add-fd", []string{"fd=3,set=1", "fd=4,set=2"}},
		{"a vsock address", func(c *Config) { *c = bare(Q35); c.VSock, c.CID = 9, 70000 }, "-device",
			[]string{"virtio-rng-pci,rng=rng0", "vhost-vsock-pci,id=vsock0,guest-cid=70000,vhostfd=9", "pvpanic"}},
		{"no kernel", func(*Config) {}, "-kernel", nil},
		{"append as it is", func(c *Config) { c.Boot = Boot{Kernel: "k", Append: "a=b,c  d"} }, "-append", []string{"a=b,c  d"}},
		{"no card", func(*Config) {}, "-netdev", nil},
		{"entropy", func(*Config) {}, "-object", []string{"rng-builtin,id=rng0"}},
		{"old virtio-mmio is off", func(c *Config) { c.Machine = MicroVM }, "-global", []string{"virtio-mmio.force-legacy=false"}},
		{"a firmware", func(c *Config) { c.Boot.Firmware = "/usr/share/seabios/b" }, "-bios", []string{"/usr/share/seabios/b"}},
		{"flash memories", func(c *Config) { c.UEFI = &UEFI{} }, "-machine",
			[]string{"q35,graphics=off,dump-guest-core=off,vmport=off,pflash0=uefi-code,pflash1=uefi-vars"}},
		{"variables that SMM does not guard", func(c *Config) { c.UEFI = &UEFI{} }, "-global", nil},
		{"a TPM by path", func(c *Config) { c.TPM = &TPM{Path: "/run/a,b"} }, "-tpmdev", []string{"emulator,id=tpm0,chardev=tpm-control"}},
		{"a screen by path", func(c *Config) { c.Screen = &Screen{VNC: "/run/a,b"} }, "-vnc", []string{"unix:/run/a,,b"}},
		{"microvm's bus", func(c *Config) { c.Machine = MicroVM }, "-device", []string{"virtio-rng-device,rng=rng0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := bare(Q35)
			c.change(&config)
			if got := values(config.Args(), c.option); !slices.Equal(got, c.want) {
				t.Errorf("%s is %q, want %q", c.option, got, c.want)
			}
		})
	}
}

func TestExtraComesLastAsItIs(t *testing.T) {
	c := full(Q35)
	c.Extra = []string{"-device", "a,b=c d", ""}
	if args := c.Args(); !slices.Equal(args[len(args)-3:], c.Extra) {
		t.Errorf("the vector ends with %q", args[len(args)-3:])
	}
}

func TestArgsIsPure(t *testing.T) {
	c := full(Q35)
	first := c.Args()
	first[0] = "changed"
	if second := c.Args(); second[0] != c.Binary || !slices.Equal(second[1:], first[1:]) {
		t.Error("two calls give different vectors")
	}
}
