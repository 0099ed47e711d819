package launcher

import (
	"strings"
	"testing"

	"kvmrun/launcher/qemu"
)

// sound is a Spec that can be started, after its defaults are filled in.
func sound() Spec {
	s := Spec{Name: "web", CPUs: 1, Memory: 64 * Mebi, Disks: []Disk{{Path: "/srv/web.qcow2"}}}
	s.setDefaults()
	return s
}

func TestDefaults(t *testing.T) {
	s := sound()
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	if s.Version != SpecVersion || s.Machine != qemu.Q35 || s.Accel != AccelAuto || s.Network.Model != "virtio-net-pci" || s.Network.Form != qemu.FormNetdev {
		t.Errorf("got %+v", s)
	}
	for model, want := range map[string]string{"virtio": "virtio-net-pci", "virtio-net": "virtio-net-pci", "e1000": "e1000"} {
		s := Spec{Network: Network{Model: model, Form: FormAuto}}
		s.setDefaults()
		if s.Network.Model != want || s.Network.Form != qemu.FormFor(want) {
			t.Errorf("%s: %s in form %s", model, s.Network.Model, s.Network.Form)
		}
	}
}

func TestCheckRefusesWhatCannotBeMeant(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Spec)
		says  string
	}{
		"newer version":       {func(s *Spec) { s.Version = SpecVersion + 1 }, "version 2"},
		"name":                {func(s *Spec) { s.Name = "../x" }, `"../x"`},
		"machine":             {func(s *Spec) { s.Machine = "isapc" }, "--machine"},
		"machine with option": {func(s *Spec) { s.Machine = "q35,accel=kvm" }, "--machine"},
		"accelerator":         {func(s *Spec) { s.Accel = "xen" }, "--accel"},
		"proxy ARP":           {func(s *Spec) { s.Network.ProxyARP = "on" }, "--proxy-arp"},
		"DHCP":                {func(s *Spec) { s.Network.DHCP = "on" }, "--dhcp"},
		"net form":            {func(s *Spec) { s.Network.Form = "user" }, "--net-form"},
		"model with option":   {func(s *Spec) { s.Network.Model = "e1000,romfile=/etc/passwd" }, "--model"},
		"model with newline":  {func(s *Spec) { s.Network.Model = "e1000\n" }, "--model"},
		"e1000 on microvm":    {func(s *Spec) { s.Machine, s.Network.Model = qemu.MicroVM, "e1000" }, "microvm"},
		"classic on microvm":  {func(s *Spec) { s.Machine, s.Network.Form = qemu.MicroVM, qemu.FormNet }, "microvm"},
		"no processor":        {func(s *Spec) { s.CPUs = 0 }, "--cpus 0"},
		"negative processors": {func(s *Spec) { s.CPUs = -1 }, "--cpus -1"},
		"256 processors":      {func(s *Spec) { s.CPUs = 256 }, "--cpus 256"},
		"no memory":           {func(s *Spec) { s.Memory = 0 }, "--memory"},
		"little memory":       {func(s *Spec) { s.Memory = 16*Mebi - 1 }, "--memory"},
		"broken MiB":          {func(s *Spec) { s.Memory = 64*Mebi + 1 }, "--memory"},
		"10T":                 {func(s *Spec) { s.Memory = 10 << 40 }, "10T"},
		"MTU of 575":          {func(s *Spec) { s.Network.MTU = 575 }, "--mtu 575"},
		"MTU of 65522":        {func(s *Spec) { s.Network.MTU = 65522 }, "--mtu 65522"},
		"nothing to boot":     {func(s *Spec) { s.Disks = nil }, "nothing to boot"},
		"initrd alone":        {func(s *Spec) { s.Boot.Initrd = "/initrd" }, "--kernel"},
		"append alone":        {func(s *Spec) { s.Boot.Append = "quiet" }, "--kernel"},
		"UEFI on microvm":     {func(s *Spec) { s.Machine, s.Memory, s.UEFI = qemu.MicroVM, minUEFIMemory, &UEFI{} }, "microvm"},
		"Secure Boot on pc":   {func(s *Spec) { s.Machine, s.Memory, s.UEFI = qemu.PC, minUEFIMemory, &UEFI{Secure: true} }, "q35"},
		"UEFI in 255 MiB":     {func(s *Spec) { s.Memory, s.UEFI = minUEFIMemory-Mebi, &UEFI{} }, "256M"},
		"screen on microvm":   {func(s *Spec) { s.Machine, s.Screen = qemu.MicroVM, true }, "--vnc"},
		"TPM on microvm":      {func(s *Spec) { s.Machine, s.TPM = qemu.MicroVM, &TPM{} }, "--tpm"},
		"format":              {func(s *Spec) { s.Disks[0].Format = "vmdk" }, "--format"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sound()
			c.spoil(&s)
			err := s.check()
			if KindOf(err) != KindUsage || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a usage error about %s", err, c.says)
			}
		})
	}
}

func TestCheckTakesTheBounds(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"least memory":    func(s *Spec) { s.Memory = minMemory },
		"255 processors":  func(s *Spec) { s.CPUs = 255 },
		"least MTU":       func(s *Spec) { s.Network.MTU = 576 },
		"greatest MTU":    func(s *Spec) { s.Network.MTU = 65521 },
		"a kernel alone":  func(s *Spec) { s.Disks, s.Boot.Kernel = nil, "/vmlinuz" },
		"QEMU's own flag": func(s *Spec) { s.Disks, s.Extra = nil, []string{"-cdrom", "x"} },
		"UEFI":            func(s *Spec) { s.Memory, s.UEFI = minUEFIMemory, &UEFI{} },
		"microvm":         func(s *Spec) { s.Machine = qemu.MicroVM },
	} {
		s := sound()
		change(&s)
		if err := s.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
