package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"kvmrun/launcher/vmdir"
)

// measureList lists 500 VMs: one is real, the others are copies of its folder
// whose locks this process holds as their supervisors would.
func measureList(b *testing.B) []row {
	const crowd = 500
	h := newHost(b)
	h.MustRun(b, "kvmrun", startArgs(frozen(b, "--name", "vm0")...)...)
	root, err := vmdir.At(h.File(vmdir.DefaultRun))
	if err != nil {
		b.Fatal(err)
	}
	for i := 1; i < crowd; i++ {
		copyVM(b, root.Dir("vm0"), root.Dir(fmt.Sprintf("vm%d", i)))
	}
	shown := strings.Fields(h.MustRun(b, "kvmrun", "list", "-q"))
	if len(shown) != crowd {
		b.Fatalf("kvmrun list shows %d VMs, want %d", len(shown), crowd)
	}
	found := rounds(20,
		func() float64 { return taking(func() { h.MustRun(b, "kvmrun", "list") }) },
		func() float64 { return taking(func() { h.MustRun(b, "kvmrun", "version") }) })
	return []row{{
		what: fmt.Sprintf("`list` with %d VMs", crowd), unit: milliseconds,
		kvmrun: found[0], against: "`kvmrun version`, which does nothing", other: found[1],
		goal: below(.050, milliseconds),
	}}
}

func copyVM(b *testing.B, from, to vmdir.Dir) {
	if err := os.Mkdir(to.Path, 0o700); err != nil {
		b.Fatal(err)
	}
	var spec map[string]json.RawMessage
	if err := from.Read(vmdir.SpecFile, &spec); err != nil {
		b.Fatal(err)
	}
	spec["name"] = json.RawMessage(fmt.Sprintf("%q", to.Name))
	if err := to.Write(vmdir.SpecFile, spec); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{vmdir.StateFile, vmdir.EventsFile, vmdir.SupervisorLog} {
		text, err := os.ReadFile(from.File(name))
		if err == nil {
			err = os.WriteFile(to.File(name), text, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	lock, err := to.Supervise()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = lock.Close() })
}
