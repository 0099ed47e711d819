package badinput

import (
	"strings"
	"testing"
)

// refuseThenStop runs a start in which QEMU itself fails. The host is as
// before but for the VM's record, which keeps QEMU's words, is listed by -a
// alone, and goes with stop.
func (h *host) refuseThenStop(t *testing.T, c refusal, vm string) {
	t.Helper()
	t.Run(c.name, func(t *testing.T) {
		c.check(t, h.Run(t, "kvmrun", concat(small, c.args)...))
		if diff := h.before.Without("processes", "files").Diff(h.Snapshot(t).Without("processes", "files")); diff != "" {
			t.Errorf("the host is not as before:\n%s", head(diff))
		}
		h.quiet(t)
		if listed := h.MustRun(t, "kvmrun", "list", "-q"); listed != "" {
			t.Errorf("list shows what has failed: %q", listed)
		}
		if listed := h.MustRun(t, "kvmrun", "list", "-aq"); listed != vm+"\n" {
			t.Errorf("list -a shows %q, want %q", listed, vm)
		}
		h.Run(t, "kvmrun", "stop", vm)
		h.unchanged(t)
	})
}

func TestQEMUThatIsNone(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.write(t, "fakes/plain", []byte("#!/bin/sh\nexit 0\n"))
	h.remember(t)
	const disk = "/run/img/good.qcow2"
	h.refuseStart(t, []refusal{
		{"not installed", []string{disk, "--qemu", "qemu-system-none"}, exitHost, []string{"qemu-system-none", "--qemu"}},
		{"missing", []string{disk, "--qemu", "/run/fakes/nothing"}, exitHost, []string{"/run/fakes/nothing", "--qemu"}},
		{"empty name", []string{disk, "--qemu", "x/"}, exitHost, []string{"x/"}},
		{"directory", []string{disk, "--qemu", "/run/fakes"}, exitHost, []string{"/run/fakes"}},
		{"not executable", []string{disk, "--qemu", "/run/fakes/plain"}, exitHost, []string{"/run/fakes/plain"}},
	})
}

func TestQEMUThatEnds(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	fakes := map[string]string{
		"quiet-0":  "exit 0",
		"quiet-1":  "exit 1",
		"words-0":  "echo it is Sunday >&2; exit 0",
		"words-1":  "echo it is Sunday >&2; exit 1",
		"stdout-1": "echo it is Sunday; exit 1",
		"crash":    "kill -SEGV $$",
		"chatty":   `i=0; while [ $i -lt 2000 ]; do printf 'line %d \033[31mred\033[0m\n' $i >&2; i=$((i+1)); done; exit 1`,
	}
	for name, text := range fakes {
		h.script(t, name, text)
	}
	h.write(t, "fakes/garbage", []byte("\x7fELF and no more"))
	h.write(t, "fakes/lost", []byte("#!/no/such/interpreter\n"))
	h.MustRun(t, "chmod", "755", "/run/fakes/garbage", "/run/fakes/lost")
	h.used(t)
	with := func(name string) []string {
		return []string{"/run/img/good.qcow2", "--name", "web", "--qemu", "/run/fakes/" + name}
	}
	for _, c := range []refusal{
		{"at once with 0", with("quiet-0"), exitQEMU, []string{"start web", "QEMU ended", "0"}},
		{"at once with 1", with("quiet-1"), exitQEMU, []string{"start web", "QEMU ended", "1"}},
		{"with words and 0", with("words-0"), exitQEMU, []string{"it is Sunday"}},
		{"with words and 1", with("words-1"), exitQEMU, []string{"it is Sunday"}},
		{"with words on standard output", with("stdout-1"), exitQEMU, []string{"it is Sunday"}},
		{"by a crash", with("crash"), exitQEMU, []string{"segmentation fault"}},
		{"with many words", with("chatty"), exitQEMU, []string{"line 1999"}},
		{"because of an argument", []string{"/run/img/good.qcow2", "--name", "web", "--", "-bogus"}, exitQEMU, []string{"-bogus", "invalid option"}},
		{"because of the model", []string{"/run/img/good.qcow2", "--name", "web", "--model", "e1001"}, exitQEMU, []string{"e1001"}},
		{"because of the processor", []string{"/run/img/good.qcow2", "--name", "web", "--cpu", "6502"}, exitQEMU, []string{"6502"}},
		{"because of an option in --cpu", []string{"/run/img/good.qcow2", "--name", "web", "--cpu", "max,bogus=on"}, exitQEMU, []string{"bogus"}},
	} {
		h.refuseThenStop(t, c, "web")
	}
	t.Run("cannot be executed", func(t *testing.T) {
		h.refuseStart(t, []refusal{
			{"no program", with("garbage"), exitQEMU, []string{"/run/fakes/garbage"}},
			{"no interpreter", with("lost"), exitQEMU, []string{"/run/fakes/lost"}},
		})
	})
}

func TestQEMUThatDoesNotSpeak(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	newFakes(t, h)
	h.script(t, "sleep", "exec sleep 1000")
	h.used(t)
	with := func(name, timeout string) []string {
		return []string{"/run/img/good.qcow2", "--name", "web", "--timeout", timeout, "--qemu", "/run/fakes/" + name}
	}
	fake := func(role, timeout string) []string { return with(fakePrefix+role, timeout) }
	for _, c := range []refusal{
		{"garbage", fake("garbage", "5s"), exitQEMU, []string{"start web"}},
		{"garbage without end", fake("endless", "5s"), exitQEMU, []string{"start web"}},
		{"other JSON", fake("json", "5s"), exitQEMU, []string{"start web"}},
		{"only errors", fake("refusing", "5s"), exitQEMU, []string{"not today"}},
		{"hangs up", fake("hangup", "5s"), exitQEMU, []string{"start web"}},
	} {
		h.refuseThenStop(t, c, "web")
	}
	h.refuseStart(t, []refusal{
		{"never accepts", with("sleep", "1s"), exitQEMU, []string{"start web", "monitor"}},
		{"never greets", fake("mute", "1s"), exitQEMU, []string{"start web", "monitor"}},
	})
}

// A QEMU that cannot write what it says still gets its words to the user.
func TestQEMUsWordsAreKept(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.script(t, "words", "echo it is Sunday >&2; exit 1")
	h.Run(t, "kvmrun", concat(small, []string{"/run/img/good.qcow2", "--name", "web", "--qemu", "/run/fakes/words"})...)
	if said := h.MustRun(t, "kvmrun", "logs", "--qemu", "web"); said != "it is Sunday\n" {
		t.Errorf("logs --qemu says %q", said)
	}
	if listed := h.MustRun(t, "kvmrun", "list", "-a"); !strings.Contains(listed, "it is Sunday") {
		t.Errorf("list -a does not give the reason:\n%s", listed)
	}
}
