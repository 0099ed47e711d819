package launcher

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kvmrun/images"
	"kvmrun/images/seed"
	"kvmrun/launcher/firmware"
	"kvmrun/launcher/qemu"
	"kvmrun/netplumb"
)

var update = flag.Bool("update", false, "write the golden files anew")

// completed is a Spec without choices left.
func completed() *Spec {
	s := sound()
	s.UUID = "6f0d5b6e-4f0e-4c1c-9f0b-7a6a5e0c1d2e"
	s.Accel, s.QEMU, s.RunAs = qemu.TCG, "/usr/bin/qemu-system-x86_64", Credentials{1890000001, 1890000001}
	n := &s.Network
	n.IP, n.Subnet, n.Gateway = netip.MustParseAddr("10.254.254.2"), DefaultSubnet, netip.MustParseAddr("10.254.254.1")
	n.MAC, n.Tap, n.MTU, n.Uplink, n.DHCP = netplumb.MACFor(n.IP), "kr-web", 1500, "eth0", DHCPOff
	return &s
}

// lan are the facts of a host with an uplink.
var lan = netplumb.Facts{Uplink: netplumb.Uplink{Name: "eth0", Index: 2, MTU: 1500, Addresses: []netplumb.InterfaceAddress{
	{Prefix: netip.MustParsePrefix("192.0.2.10/24"), Label: "eth0"},
}}}

// The whole script of some VMs. After a change that is meant: go test
// ./launcher -update, and read the difference.
func TestScripts(t *testing.T) {
	disk := func(path string, readOnly bool) images.Layer {
		return images.Layer{Info: images.Info{Path: path, VirtualSize: 8 << 20}, Format: images.QCOW2, ReadOnly: readOnly}
	}
	for name, c := range map[string]struct {
		change func(*Spec)
		chains []*images.Chain
		own    *scriptDisks
		seed   *seed.Files
	}{
		"disk": {func(*Spec) {}, []*images.Chain{{Layers: []images.Layer{disk("/srv/it's a disk.qcow2", false), disk("/srv/base.qcow2", true)}}}, nil, nil},
		"ephemeral": {func(s *Spec) { s.Disks[0].Ephemeral = true },
			[]*images.Chain{{Layers: []images.Layer{disk("/srv/web.qcow2", true)}}}, nil, nil},
		"kept": {func(s *Spec) {
			base := "/var/lib/kvmrun/images/blobs/0f.qcow2"
			s.Disks[0] = Disk{Path: "/var/lib/kvmrun/disks/web/disk0.qcow2", Image: "debian", Base: base, Size: 16 << 20}
			s.Disks = append(s.Disks, Disk{Path: "/var/lib/kvmrun/disks/web/disk1.qcow2", Image: "debian", Base: base, Size: 1 << 30})
		}, []*images.Chain{
			{Layers: []images.Layer{disk("/var/lib/kvmrun/disks/web/disk0.qcow2", false), disk("/var/lib/kvmrun/images/blobs/0f.qcow2", true)}},
			{Layers: []images.Layer{disk("/var/lib/kvmrun/images/blobs/0f.qcow2", true)}},
		}, &scriptDisks{
			folder: "/var/lib/kvmrun/disks/web", was: "{\n  \"it's\": 1\n}\n", will: "{\n  \"it's\": 2\n}\n", fresh: map[int]bool{1: true},
			bases: []string{"/var/lib/kvmrun/images/blobs/0f.qcow2"}, storeLock: "/var/lib/kvmrun/images/lock",
		}, nil},
		"seed": {func(s *Spec) { s.FirstBoot = &FirstBoot{Login: "root"} },
			[]*images.Chain{{Layers: []images.Layer{disk("/srv/web.qcow2", false)}}}, nil,
			&seed.Files{MetaData: []byte("instance-id: x\n"), UserData: []byte("#!/bin/sh\necho 'more than a line of base64 has room for, it is hoped'\n")}},
		"kernel": {func(s *Spec) {
			s.Disks, s.Boot = nil, Boot{Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd", Append: "console=ttyS0 $(reboot) 'x'"}
			s.Network.Uplink = ""
		}, nil, nil, nil},
		"uefi": {func(s *Spec) {
			s.TPM = new(TPM)
			s.UEFI = &UEFI{Secure: true, UEFI: firmware.UEFI{SMM: true,
				Code: firmware.File{Path: "/usr/share/code.fd", Format: "raw"}, Template: firmware.File{Path: "/usr/share/vars.qcow2", Format: "qcow2"}}}
		}, []*images.Chain{{Layers: []images.Layer{disk("/srv/web.qcow2", false)}}}, nil, nil},
		"uefi-vars": {func(s *Spec) {
			file := firmware.File{Path: "/usr/share/firmware.fd", Format: "raw"}
			s.Screen = true
			s.UEFI = &UEFI{Variables: "/srv/web vars.fd", UEFI: firmware.UEFI{Code: file, Template: file}}
		}, []*images.Chain{{Layers: []images.Layer{disk("/srv/web.qcow2", false)}}}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := completed()
			c.change(s)
			facts := lan
			if s.Network.Uplink == "" {
				facts = netplumb.Facts{}
			}
			plan, err := netplumb.NewPlan(s.NetConfig(), facts)
			if err != nil {
				t.Fatal(err)
			}
			text, command, err := script(s, plan, c.chains, c.own, c.seed, devices{tun: 0o666})
			if err != nil {
				t.Fatal(err)
			}
			if command[0] != s.QEMU {
				t.Errorf("the command is %q", command)
			}
			got := text
			golden := filepath.Join("testdata", name+".sh")
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
				t.Errorf("the script has changed (-golden +now):\n%s", diff)
			}
			if out, err := exec.Command("bash", "-n", golden).CombinedOutput(); err != nil {
				t.Errorf("bash does not take it: %v\n%s", err, out)
			}
		})
	}
}

// Whatever a text is, the shell reads it back as one word.
func TestQuoteSurvivesTheShell(t *testing.T) {
	words := []string{"", "plain", "a b", "it's", "$(reboot)", "`x`", "a\nb", "*", "~", "-n", `back\slash`, "!", "büro", "#", "a;b", "'", "''"}
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	out, err := exec.Command("bash", "-c", `printf '%s\0' `+strings.Join(quoted, " ")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(words, strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")); diff != "" {
		t.Error(diff)
	}
}
