package badinput

import (
	"strings"
	"testing"
)

func TestRunDirectory(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.write(t, "file", []byte("x"))
	h.MustRun(t, "sh", "-ec", `
		mkdir /run/ro /run/full /run/nearly /run/gone
		mount -t tmpfs -o ro tmpfs /run/ro
		mount -t tmpfs -o size=16k,nr_inodes=3 tmpfs /run/full
		touch /run/full/a /run/full/b
	`)
	h.remember(t)
	const disk = "/run/img/good.qcow2"
	at := func(dir string) []string { return []string{"--run-dir", dir, disk, "--name", "web"} }
	h.refuseStart(t, []refusal{
		{"read-only", at("/run/ro"), exitStorage, []string{"start web", "/run/ro", "read-only", "--run-dir"}},
		{"file", at("/run/file"), exitStorage, []string{"/run/file", "--run-dir"}},
		{"below a file", at("/run/file/below"), exitStorage, []string{"/run/file", "--run-dir"}},
		{"full", at("/run/full"), exitStorage, []string{"/run/full", "no space left", "--run-dir"}},
		{"not to be made", at("/proc/kvmrun"), exitStorage, []string{"/proc/kvmrun", "--run-dir"}},
	})
}

func TestDiskFillsUp(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	const disk = "/run/img/good.qcow2"
	// The run directory's own folders fit, and then less and less of a VM's.
	h.MustRun(t, "mkdir", "/run/tiny")
	for _, room := range []string{"0", "4", "8", "12", "16", "20"} {
		t.Run(room+" KiB", func(t *testing.T) {
			h.MustRun(t, "sh", "-ec", `
				mount -t tmpfs -o size=64k tmpfs /run/tiny
				cd /run/tiny
				mkdir -m 711 vms leases net
				touch lock net/lock
				dd if=/dev/zero of=fill bs=1k count=$((64 - $0)) 2>/dev/null
			`, room)
			defer h.MustRun(t, "umount", "/run/tiny")
			h.remember(t)
			r := h.Run(t, "kvmrun", concat(small, []string{"--run-dir", "/run/tiny", disk, "--name", "web"}, idle)...)
			if r.ExitCode == 0 {
				h.MustRun(t, "kvmrun", "--run-dir", "/run/tiny", "stop", "--force", "web")
				h.unchanged(t)
				return
			}
			refusal{status: exitStorage, says: []string{"start web", "/run/tiny", "no space left"}}.check(t, r)
			h.unchanged(t)
		})
	}
}

func TestDataDirectory(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.used(t)
	h.write(t, "file", []byte("x"))
	h.MustRun(t, "sh", "-ec", `
		mkdir /run/ro /run/full
		mount -t tmpfs -o ro tmpfs /run/ro
		mount -t tmpfs -o size=16k tmpfs /run/full
		dd if=/dev/zero of=/run/full/fill bs=1k count=16 2>/dev/null
		mkdir /run/full/overlays
	`)
	h.remember(t)
	at := func(dir string) []string {
		return []string{"--data-dir", dir, "/run/img/good.qcow2", "--name", "web", "--ephemeral"}
	}
	h.refuseStart(t, []refusal{
		{"read-only", at("/run/ro"), exitStorage, []string{"start web", "/run/ro", "read-only", "--data-dir"}},
		{"file", at("/run/file"), exitStorage, []string{"/run/file", "--data-dir"}},
		{"full", at("/run/full"), exitStorage, []string{"/run/full", "no space left", "--data-dir"}},
	})
}

func TestDirectoriesAreHonoured(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	long := "/run/" + strings.Repeat("a-rather-long-folder/", 10) + "run"
	for name, c := range map[string]struct {
		env  []string
		args []string
		dir  string
	}{
		"--run-dir":                   {nil, []string{"--run-dir", "/run/one"}, "/run/one"},
		"KVMRUN_RUN_DIR":              {[]string{"KVMRUN_RUN_DIR=/run/two"}, nil, "/run/two"},
		"--run-dir over the variable": {[]string{"KVMRUN_RUN_DIR=/run/wrong"}, []string{"--run-dir", "/run/three"}, "/run/three"},
		"a long path":                 {nil, []string{"--run-dir", long}, long},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(args ...string) string {
				t.Helper()
				r := h.RunWith(t, runWith(c.env), "kvmrun", concat(c.args, args)...)
				if r.ExitCode != 0 {
					t.Fatal(r)
				}
				return r.Stdout
			}
			run(concat(small, []string{"/run/img/good.qcow2", "--name", "web"}, idle)...)
			if _, err := statIn(h, c.dir+"/vms/web"); err != nil {
				t.Error(err)
			}
			if status := run("qmp", "web", "query-status"); !strings.Contains(status, "prelaunch") {
				t.Errorf("the monitor says %s", status)
			}
			if others := h.MustRun(t, "kvmrun", "list", "-q"); others != "" {
				t.Errorf("the usual run directory has %q", others)
			}
			run("stop", "--force", "web")
		})
	}
	for name, c := range map[string]struct {
		env  []string
		args []string
		dir  string
	}{
		"--data-dir":      {nil, []string{"--data-dir", "/run/data-one"}, "/run/data-one"},
		"KVMRUN_DATA_DIR": {[]string{"KVMRUN_DATA_DIR=/run/data-two"}, nil, "/run/data-two"},
	} {
		t.Run(name, func(t *testing.T) {
			args := concat(c.args, small, []string{"/run/img/good.qcow2", "--name", "web", "--ephemeral"}, idle)
			if r := h.RunWith(t, runWith(c.env), "kvmrun", args...); r.ExitCode != 0 {
				t.Fatal(r)
			}
			if _, err := statIn(h, c.dir+"/overlays"); err != nil {
				t.Error(err)
			}
			h.MustRun(t, "kvmrun", "stop", "--force", "web")
		})
	}
}
