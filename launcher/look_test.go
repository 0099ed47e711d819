package launcher

import (
	"encoding/json"
	"os"
	"testing"

	"kvmrun/launcher/vmdir"
)

// FuzzLook reads damaged records: whatever stands in a VM's files, looking at
// it gives an answer or an error, and what it gives can be printed.
func FuzzLook(f *testing.F) {
	spec, err := json.Marshal(sound())
	if err != nil {
		f.Fatal(err)
	}
	state, err := json.Marshal(State{Version: StateVersion, Phase: Running, Command: []string{"qemu"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(spec, state)
	f.Add([]byte("{}"), []byte("{}"))
	f.Add(spec[:len(spec)/2], state)
	f.Add(spec, []byte(`{"version": 99}`))
	f.Add(spec, []byte(`{"qemu": {"pid": -1}, "phase": "running", "plan": {}}`))
	f.Add([]byte(`{"network": {"ip": "x", "mac": "y"}}`), state)
	f.Add([]byte(`{"disks": [{}], "version": -1}`), []byte(`null`))
	l, err := New(Options{RunDir: f.TempDir(), Executable: "/bin/false"})
	if err != nil {
		f.Fatal(err)
	}
	if err := l.makeRoot(); err != nil {
		f.Fatal(err)
	}
	dir := l.root.Dir("web")
	if err := os.Mkdir(dir.Path, 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, spec, state []byte) {
		for name, text := range map[string][]byte{vmdir.SpecFile: spec, vmdir.StateFile: state} {
			if err := os.WriteFile(dir.File(name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		vm, err := l.look(dir)
		if err != nil {
			return
		}
		if vm.Name != "web" {
			t.Errorf("the folder's VM is called %q", vm.Name)
		}
		if _, err := json.Marshal(vm); err != nil {
			t.Error(err)
		}
	})
}
