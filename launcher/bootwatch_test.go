package launcher

import (
	"errors"
	"testing"
	"time"
)

// TestWitnessesOfABoot: QEMU's word always counts, the console's until the guest was
// reached, and with a reset all begins anew.
func TestWitnessesOfABoot(t *testing.T) {
	const said = "Kernel panic - not syncing: x\n"
	now := time.Now()
	var w bootWatch
	see := func(reached bool, boot PresentBoot, text, want string) {
		t.Helper()
		vm := &Details{VM: VM{Name: "web", Panicked: boot.Panicked}, Details: State{Boot: boot}}
		if reached {
			vm.Reachable = now
		}
		first := w.isAnother(vm)
		if again := w.isAnother(vm); again {
			t.Error("the same boot is another")
		}
		w.console.Take([]byte(text))
		err := w.failed(vm)
		if err == nil && want != "" || err != nil && err.Error() != want+"; see kvmrun logs web" || err != nil && KindOf(err) != KindBoot {
			t.Errorf("%+v (another: %v), %q: %v; want %q", boot, first, text, err, want)
		}
	}
	see(false, PresentBoot{}, "booting\n", "")
	see(false, PresentBoot{}, said, "the guest failed to boot: Kernel panic - not syncing: x")
	see(true, PresentBoot{}, "", "the guest failed to boot: Kernel panic - not syncing: x") // it began before
	see(false, PresentBoot{Resets: 1}, "", "")
	see(true, PresentBoot{Resets: 2}, said, "")
	see(true, PresentBoot{Resets: 2, Panicked: now}, "", "the guest's kernel has panicked")
	see(true, PresentBoot{Resets: 3}, "", "")
	if err := w.failed(nil); err != nil {
		t.Errorf("nothing is known of it: %v", err)
	}
}

// TestPromptThatStands: a prompt counts when nothing has come of it for a while.
func TestPromptThatStands(t *testing.T) {
	var w bootWatch
	at := time.Now()
	see := func(text string, after time.Duration, want bool) {
		t.Helper()
		w.console.Take([]byte(text))
		at = at.Add(after)
		if got := w.settled(w.console.Failure(), at); got != want {
			t.Errorf("%v after %q it counts: %v", after, text, got)
		}
	}
	see("Shell> ", 0, false)
	see("", promptTime-1, false)
	see("startup.nsh\nbooting\n", 1, false)
	see("Shell> ", promptTime, false) // another one
	see("", promptTime-1, false)
	see("", 1, true)
	see("\nKernel panic - not syncing: x\n", 0, true)
}

// TestQuotes: what the console said last goes with the failures that it may explain.
func TestQuotes(t *testing.T) {
	var silent, w bootWatch
	w.console.Take([]byte("one\ntwo"))
	for _, kind := range []Kind{KindBoot, KindEnded, KindQEMU, KindTimeout, KindStorage} {
		failure := fail(kind, "wait", "it is Sunday")
		err := during("wait for web", w.quote("web", failure))
		if KindOf(err) != kind || err.Error() != "wait for web: it is Sunday; wait" {
			t.Errorf("%s became %s: %v", kind, KindOf(err), err)
		}
		found := Consoles(errors.Join(errors.New("another"), err, nil))
		if want := kind == KindBoot || kind == KindEnded || kind == KindQEMU; want != (len(found) == 1 && len(found[0].Lines) == 2 && found[0].Name == "web") {
			t.Errorf("%s: %+v", kind, found)
		}
		if found := Consoles(silent.quote("web", failure)); len(found) != 0 {
			t.Errorf("a console that said nothing: %+v", found[0])
		}
	}
	if found := Consoles(errors.Join(w.quote("a", fail(KindBoot, "", "x")), w.quote("b", fail(KindEnded, "", "x")))); len(found) != 2 {
		t.Errorf("of two VMs: %+v", found)
	}
	if err := w.quote("web", nil); err != nil {
		t.Error(err)
	}
}
