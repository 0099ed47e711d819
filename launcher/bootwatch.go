package launcher

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"kvmrun/launcher/bootlog"
)

// bootWatch looks whether a guest's boot fails.
//
// There are two witnesses. QEMU's word, that the guest's kernel has told it of its
// panic, always counts. What the console says counts only if the guest had not been
// reached in this boot when the watch began: later on anybody with a shell may have it
// say anything, and what it once said need not be true any more.
type bootWatch struct {
	began    bool
	resets   int  // of the boot that is watched
	believes bool // what the console says
	console  bootlog.Reader
	prompted time.Time // since when the console ends with a prompt; zero if it does not
}

// promptTime is how long a prompt must have stood on the console to be where the boot
// has ended up.
const promptTime = 3 * time.Second

// isAnother takes note of a boot that was not watched before, and tells whether this is
// one.
func (w *bootWatch) isAnother(vm *Details) bool {
	boot := vm.Details.Boot
	if w.began && w.resets == boot.Resets {
		return false
	}
	*w = bootWatch{began: true, resets: boot.Resets, believes: vm.Reachable.IsZero()}
	return true
}

// failed is the error that the boot has failed; nil if it has not, or nothing is known
// of the VM.
func (w *bootWatch) failed(vm *Details) error {
	if vm == nil {
		return nil
	}
	var reason string
	switch said := w.console.Failure(); {
	case w.settled(said, time.Now()) && w.believes:
		reason = fmt.Sprintf("the guest failed to boot: %.200s", said)
	case !vm.Panicked.IsZero():
		reason = "the guest's kernel has panicked"
	default:
		return nil
	}
	return &Error{Kind: KindBoot, Err: errors.New(reason), Advice: "see kvmrun logs " + vm.Name}
}

// settled tells whether what the console says of the boot's failure counts by now. The
// watch that asks looks again often enough (HomeInterval).
func (w *bootWatch) settled(said string, now time.Time) bool {
	switch {
	case said == "":
		w.prompted = time.Time{}
		return false
	case w.console.Final():
		return true
	case w.prompted.IsZero():
		w.prompted = now
	}
	return now.Sub(w.prompted) >= promptTime
}

// quote adds to the error of a VM that has ended or failed to boot what its console
// said last.
func (w *bootWatch) quote(name string, err error) error {
	var e *Error
	lines := w.console.Last()
	if w.believes {
		lines = w.console.Told()
	}
	if !errors.As(err, &e) || !slices.Contains([]Kind{KindBoot, KindCloudInit, KindEnded, KindQEMU}, e.Kind) || len(lines) == 0 {
		return err
	}
	return &Error{Kind: e.Kind, Op: e.Op, Err: &ConsoleError{Err: e.Err, Name: name, Lines: lines}, Advice: e.Advice}
}
