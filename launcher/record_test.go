package launcher

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
)

// recorded is a VM called web as it stands in its folder.
func recorded(tb testing.TB) (*Spec, *State) {
	tb.Helper()
	s := sound()
	s.UUID, s.RunAs = "97041b92-237e-4bb5-9caf-6bdb2557a851", Credentials{UID: 1890338874, GID: 1890338874}
	s.Network.IP, s.Network.Gateway = netip.MustParseAddr("10.254.254.2"), netip.MustParseAddr("10.254.254.1")
	s.Network.Subnet, s.Network.MTU, s.Network.Uplink = DefaultSubnet, defaultMTU, "eth0"
	s.Network.MAC, s.Network.Tap = netplumb.MACFor(s.Network.IP), tapName(s.Name)
	plan, err := netplumb.NewPlan(s.NetConfig(), netplumb.Facts{Uplink: netplumb.Uplink{Name: "eth0", Index: 2, MTU: 1500}})
	if err != nil {
		tb.Fatal(err)
	}
	return &s, &State{Version: StateVersion, Phase: Running, Command: []string{"qemu"}, Plan: plan}
}

// folder is where records are read from in a test: l's VM web.
func folder(tb testing.TB) (*Launcher, vmdir.Dir) {
	tb.Helper()
	l, err := New(Options{RunDir: tb.TempDir(), Executable: "/bin/false"})
	if err != nil {
		tb.Fatal(err)
	}
	if err := l.makeRoot(); err != nil {
		tb.Fatal(err)
	}
	dir := l.root.Dir("web")
	if err := os.Mkdir(dir.Path, 0o700); err != nil {
		tb.Fatal(err)
	}
	return l, dir
}

func putRecord(tb testing.TB, dir vmdir.Dir, spec, state []byte) {
	tb.Helper()
	for name, text := range map[string][]byte{vmdir.SpecFile: spec, vmdir.StateFile: state} {
		if err := os.WriteFile(dir.File(name), text, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

func asJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// TestRecordCutShort cuts a record at every byte.
func TestRecordCutShort(t *testing.T) {
	l, dir := folder(t)
	s, st := recorded(t)
	spec, state := asJSON(t, s), asJSON(t, st)
	putRecord(t, dir, spec, state)
	if _, err := l.look(dir); err != nil {
		t.Fatal(err)
	}
	for cut := range spec {
		putRecord(t, dir, spec[:cut], state)
		if _, err := l.look(dir); KindOf(err) != KindStorage || !strings.Contains(err.Error(), dir.File(vmdir.SpecFile)) {
			t.Fatalf("description cut to %d bytes: %v", cut, err)
		}
	}
	for cut := range state {
		putRecord(t, dir, spec, state[:cut])
		if _, err := l.look(dir); KindOf(err) != KindStorage || !strings.Contains(err.Error(), dir.File(vmdir.StateFile)) {
			t.Fatalf("state cut to %d bytes: %v", cut, err)
		}
	}
}

// A folder that somebody made with a name that no VM has is named in one line, and
// what it says makes no VM of it.
func TestRecordInAStrangeFolder(t *testing.T) {
	l, _ := folder(t)
	dir := l.root.Dir("two\nlines\x1b[31m")
	if err := os.Mkdir(dir.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	s, st := recorded(t)
	sound := asJSON(t, s)
	s.Name = dir.Name
	for name, spec := range map[string][]byte{"no record": nil, "web's": sound, "its own": asJSON(t, s)} {
		putRecord(t, dir, spec, asJSON(t, st))
		vms, err := l.List(true)
		if len(vms) > 0 || KindOf(err) != KindStorage || !strings.Contains(err.Error(), `two\nlines\x1b`) || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%s: %v, %q", name, vms, err)
		}
	}
}

// TestRecordOfAnother says what a record may not say: what it names would be
// removed, signalled or undone one day.
func TestRecordOfAnother(t *testing.T) {
	l, dir := folder(t)
	for name, spoil := range map[string]func(*Spec, *State){
		"another VM's name":     func(s *Spec, _ *State) { s.Name = "db" },
		"a path for a name":     func(s *Spec, _ *State) { s.Name = "../../etc" },
		"no name":               func(s *Spec, _ *State) { s.Name = "" },
		"no UUID":               func(s *Spec, _ *State) { s.UUID = "" },
		"a path for an address": func(s *Spec, _ *State) { s.Network.IP = netip.MustParseAddr("fe80::1%/../../x") },
		"no address":            func(s *Spec, _ *State) { s.Network.IP = netip.Addr{} },
		"root":                  func(s *Spec, _ *State) { s.RunAs = Credentials{} },
		"another's address":     func(_ *Spec, st *State) { st.Plan.Config.Address = netip.MustParseAddr("10.254.254.3") },
		"another's tap":         func(_ *Spec, st *State) { st.Plan.Config.Tap = "eth0" },
		"a plan of rubbish":     func(_ *Spec, st *State) { st.Plan.Alias.Label = "eth0;id" },
		"a newer description":   func(s *Spec, _ *State) { s.Version++ },
		"a newer state":         func(_ *Spec, st *State) { st.Version++ },
	} {
		s, st := recorded(t)
		spoil(s, st)
		putRecord(t, dir, asJSON(t, s), asJSON(t, st))
		if _, err := l.look(dir); KindOf(err) != KindStorage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzLook reads rotten records. Looking at one gives a VM or an error that
// names the folder; a VM can be printed, and whatever it would have released,
// signalled or undone is its own.
func FuzzLook(f *testing.F) {
	s, st := recorded(f)
	spec, state := asJSON(f, s), asJSON(f, st)
	f.Add(spec, state)
	f.Add([]byte("{}"), []byte("{}"))
	f.Add(spec[:len(spec)/2], state)
	f.Add(spec, state[:len(state)/2])
	f.Add(spec, []byte(`{"version": 99}`))
	f.Add(spec, []byte(`{"qemu": {"pid": -1}, "phase": "running", "plan": {}}`))
	f.Add(spec, []byte(`{"qemu": {"pid": 1}, "supervisor": {"pid": 1, "start": 1}, "phase": "none"}`))
	f.Add([]byte(`{"network": {"ip": "x", "mac": "y"}}`), state)
	f.Add([]byte(`{"disks": [{}], "version": -1}`), []byte(`null`))
	for _, spoil := range [][2]string{
		{`"name":"web"`, `"name":"../web"`},
		{`"ip":"10.254.254.2"`, `"ip":"fe80::1%/../../x"`},
		{`"tap":"kr-web"`, `"tap":"eth0"`},
		{`"uid":1890338874`, `"uid":0`},
	} {
		f.Add([]byte(strings.Replace(string(spec), spoil[0], spoil[1], 1)), []byte(strings.Replace(string(state), spoil[0], spoil[1], 1)))
	}
	l, dir := folder(f)
	f.Fuzz(func(t *testing.T, spec, state []byte) {
		putRecord(t, dir, spec, state)
		vm, err := l.look(dir)
		if err != nil {
			if KindOf(err) != KindStorage || !strings.Contains(err.Error(), dir.Path) {
				t.Fatalf("%s: %v", KindOf(err), err)
			}
			return
		}
		if vm.Name != "web" || vm.Spec.Name != "web" {
			t.Fatalf("the folder's VM is called %q, %q", vm.Name, vm.Spec.Name)
		}
		if _, err := json.Marshal(vm); err != nil {
			t.Fatal(err)
		}
		for _, resource := range vm.Spec.leases() {
			if filepath.Base(resource) != resource {
				t.Fatalf("it leases %q", resource)
			}
		}
		if p := vm.Details.Plan; p != nil && (p.Check() != nil || p.Config.Tap != vm.Tap || p.Config.Address.String() != vm.IP) {
			t.Fatalf("a plan for %s on %s (%v)", p.Config.Address, p.Config.Tap, p.Check())
		}
	})
}
