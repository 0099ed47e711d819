package badinput

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	const disk = "/run/img/good.qcow2"
	var cases []refusal
	for name, text := range map[string]string{
		"empty": "", "300 characters": strings.Repeat("x", 300), "64 characters": strings.Repeat("x", 64),
		"parent": "../x", "slash": "a/b", "newline": "a\nb", "leading dash": "-rf", "dot": ".", "two dots": "..",
		"hidden": ".web", "non-ASCII": "büro", "space": "a b", "escape": "a\x1b[31mb", "NUL in words": "a\\0b",
		"trailing newline": "web\n", "comma": "web,debug-threads=on", "invalid UTF-8": "a\xffb",
	} {
		cases = append(cases, refusal{name, []string{disk, "--name=" + text}, exitUsage, []string{"name", "letters, digits"}})
	}
	h.refuseStart(t, cases)
	for _, command := range []string{"stop", "pause", "resume", "reset", "restart", "wait", "adopt", "inspect", "logs", "console", "qmp", "events", "screenshot"} {
		args := func(name string) []string {
			switch command {
			case "qmp":
				return []string{command, "--", name, "query-status"}
			case "wait":
				return []string{command, "--for", "net", "--", name}
			case "screenshot":
				return []string{command, "--", name, "/run/img/shot.png"}
			}
			return []string{command, "--", name}
		}
		h.refuse(t, refusal{command + " of no VM", args("web"), exitNotFound, []string{"web", "kvmrun list"}})
		h.refuse(t, refusal{command + " of a path", args("../leases"), exitUsage, []string{"../leases"}})
		h.refuse(t, refusal{command + " of two lines", args("a\nb"), exitUsage, []string{`a\nb`}})
		h.refuse(t, refusal{command + " of the empty name", args(""), exitUsage, []string{"empty"}})
		h.refuse(t, refusal{command + " of a long name", args(strings.Repeat("x", 3000)), exitUsage, nil})
		h.refuse(t, refusal{command + " without a name", []string{command}, exitUsage, []string{"kvmrun " + command + " --help"}})
	}
}

func TestCommandLines(t *testing.T) {
	h := newHost(t)
	for _, c := range []refusal{
		{"empty run directory", []string{"list", "--run-dir="}, exitUsage, []string{"--run-dir is empty"}},
		{"run directory that is a file", []string{"gc", "--run-dir", "/etc/hostname"}, exitStorage, []string{"/etc/hostname", "--run-dir"}},
		{"data directory that is a file", []string{"gc", "--data-dir", "/etc/hostname"}, exitStorage, []string{"/etc/hostname", "--data-dir"}},
		{"empty machine to try with", []string{"net", "explain", "web", "--with="}, exitUsage, []string{"--with is empty"}},
		{"empty name servers", []string{"start", "--dns=", "disk.raw"}, exitUsage, []string{"--dns is empty"}},
		{"no such command", []string{"strat"}, exitUsage, []string{"strat"}},
		{"no such flag", []string{"start", "--momery", "1G"}, exitUsage, []string{"--momery", "kvmrun start --help"}},
		{"two images", []string{"start", "a.qcow2", "b.qcow2"}, exitUsage, []string{"kvmrun start --help"}},
		{"list with a name", []string{"list", "web"}, exitUsage, []string{"kvmrun list --help"}},
		{"no such host command", []string{"host", "chekc"}, exitUsage, []string{"chekc"}},
		{"stop of a name and all", []string{"stop", "web", "--all"}, exitUsage, []string{"--all"}},
		{"arguments that are no object", []string{"qmp", "web", "stop", "[]"}, exitUsage, []string{"JSON object"}},
		{"logs of two", []string{"logs", "--qemu", "--supervisor", "web"}, exitUsage, []string{"--qemu"}},
		{"wait for nothing", []string{"wait", "web"}, exitUsage, []string{"--for"}},
		{"wait for none", []string{"wait", "web", "--for", "none"}, exitUsage, []string{"--for none"}},
		{"wait for what there is not", []string{"wait", "web", "--for", "net", "--for", "later"}, exitUsage, []string{"--for", "later", "port:N"}},
		{"wait for no port", []string{"wait", "web", "--for", "port:99999"}, exitUsage, []string{"--for", "port:99999"}},
		{"wait for no expression", []string{"wait", "web", "--for", "console:("}, exitUsage, []string{"--for", "console:("}},
		{"wait for no time", []string{"wait", "web", "--for", "net", "--timeout", "0"}, exitUsage, []string{"--timeout"}},
		{"start that waits for something and nothing", []string{"start", "--wait", "net", "--wait", "none"}, exitUsage, []string{"--wait", "none"}},
		{"start that stays until the end, twice", []string{"start", "--foreground", "--wait", "exit"}, exitUsage, []string{"--wait exit"}},
		{"stop with a time that is none", []string{"stop", "--timeout", "soon", "web"}, exitUsage, []string{"soon"}},
	} {
		h.refuse(t, c)
	}
}

func TestHardware(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	const disk = "/run/img/good.qcow2"
	h.MustRun(t, "sh", "-ec", "printf '#cloud-config\\n- a\\n' >/run/img/list.yaml; (echo '#cloud-config'; head -c 2000000 /dev/zero | tr '\\0' '#') >/run/img/large.yaml")
	h.remember(t)
	var cases []refusal
	for flag, values := range map[string][]string{
		"--memory":     {"0", "1", "10T", "", "lots", "-5", "1e3", "0x40", "64M64M", "1.5", "99999999999999999999", "NaN", "inf", "64 M", "1_0"},
		"--cpus":       {"0", "-1", "9999", "x", "", "1.5", "99999999999999999999"},
		"--machine":    {"isapc", "q35,accel=kvm", "Q35"},
		"--accel":      {"xen", "tcg,thread=single"},
		"--proxy-arp":  {"yes", "exact,off"},
		"--net-form":   {"user", "netdev,x"},
		"--dhcp":       {"on", "off,x"},
		"--model":      {"virtio-net-pci,romfile=/etc/passwd", "a b", "../e1000", "-e1000", "e1000\n"},
		"--mtu":        {"-1", "1", "575", "65522", "x"},
		"--run-as":     {"0", "root", "-1", "1000:0", "1000:", ":1000", "4294967295", "99999999999", "1000:1000:1000"},
		"--login":      {"Ann", "", "a b", "1st", "ann:x", "ann\n", strings.Repeat("a", 33)},
		"--hostname":   {"a_b", "-a", "a.", "a..b", "a b", "a\n", "", strings.Repeat("a", 65)},
		"--ssh-key":    {"", "/nowhere/key.pub", "/etc/hostname", "/run", "ssh-ed25519 AAAA", "ssh-ed25519 AAAA\nroot ALL", "/dev/zero"},
		"--user-data":  {"", "/nowhere", "/etc/hostname", "/run", "/dev/zero", "/run/img/list.yaml", "/run/img/large.yaml"},
		"--meta-data":  {"", "/nowhere", "/run/img/list.yaml", "/run/img/large.yaml"},
		"--cloud-init": {"yes", "On", ""},
		"--share":      {"", "data", ":data", "/run/img:", "/run/img:a b", "/run/img:a,b", "/run/nowhere:data", "/etc/hostname:data", "/run/a,b:data", "/run/img:" + strings.Repeat("a", 37)},
		"--firmware":   {"efi", "UEFI", "", "uefi,x"},
		"--wait":       {"ready", "", "console:", "console:(", "Running", "running,net", "port:0", "port:65536", "port:http"},
		"--timeout":    {"0", "-1s", "soon", "", "5"},
	} {
		for _, value := range values {
			cases = append(cases, refusal{flag + "=" + value, []string{disk, flag + "=" + value}, exitUsage, []string{flag}})
		}
	}
	h.refuseStart(t, cases)
	h.MustRun(t, "sh", "-ec", "[ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm")
	h.remember(t)
	h.refuse(t, refusal{"KVM without KVM", []string{"start", disk, "--accel", "kvm"}, exitHost, []string{"KVM", "--accel"}})
	h.refuseStart(t, []refusal{
		{"variables without UEFI", []string{disk, "--firmware-vars", "/run/img/vars"}, exitUsage, []string{"--firmware uefi"}},
		{"screen in microvm", []string{disk, "--machine", "microvm", "--vnc"}, exitUsage, []string{"microvm", "--vnc"}},
		{"TPM in microvm", []string{disk, "--machine", "microvm", "--tpm"}, exitUsage, []string{"microvm", "--tpm"}},
		{"share in microvm", []string{disk, "--machine", "microvm", "--share", "/run/img:data"}, exitUsage, []string{"microvm", "--share"}},
		{"two shares of one tag", []string{disk, "--share", "/run/img:data", "--share", "/run:data"}, exitUsage, []string{"--share", "twice"}},
		{"UEFI in microvm", []string{disk, "--machine", "microvm", "--firmware", "uefi"}, exitUsage, []string{"microvm", "q35"}},
		{"UEFI in little memory", []string{disk, "--memory", "128M", "--firmware", "uefi"}, exitUsage, []string{"--memory 128M", "256M"}},
		{"variables of another size", []string{disk, "--memory", "256M", "--firmware", "uefi", "--firmware-vars", "/run/img/list.yaml"}, exitImage, []string{"/run/img/list.yaml"}},
		{"variables in no folder", []string{disk, "--memory", "256M", "--firmware", "uefi", "--firmware-vars", "/run/nowhere/vars"}, exitImage, []string{"/run/nowhere/vars", "folder"}},
		{"e1000 in microvm", []string{disk, "--machine", "microvm", "--model", "e1000"}, exitUsage, []string{"microvm", "e1000"}},
		{"classic form in microvm", []string{disk, "--machine", "microvm", "--net-form", "net"}, exitUsage, []string{"microvm", "--net-form netdev"}},
	})
	h.MustRun(t, "sh", "-ec", "mount -t tmpfs tmpfs /usr/share/qemu/firmware")
	h.remember(t)
	h.refuseStart(t, []refusal{{"UEFI that is not here", []string{disk, "--memory", "256M", "--firmware", "uefi"}, exitHost, []string{"apt install ovmf"}}})
}
