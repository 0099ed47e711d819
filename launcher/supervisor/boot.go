package supervisor

import (
	"os"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
)

// bootAgain begins anew what is known of the guest's boot: the guest was reset. QEMU
// tells of that when it has taken place, so that the console may have said a few words
// of the firmware's by now.
func (s *supervisor) bootAgain() {
	var said int64
	if info, err := os.Stat(s.dir.File(vmdir.ConsoleLog)); err == nil {
		said = info.Size()
	}
	s.state.Boot = launcher.PresentBoot{Resets: s.state.Boot.Resets + 1, Console: said}
	waits := s.state.Reachable.IsZero()
	s.state.Reachable = time.Time{}
	s.settle(s.save())
	if !waits {
		s.seek()
	}
	for _, done := range s.onReset {
		done()
	}
	s.onReset = nil
}

// panicked notes that the guest's kernel says so. It can say it as often as it likes.
func (s *supervisor) panicked(when time.Time) {
	if s.state.Boot.Panicked.IsZero() {
		s.state.Boot.Panicked = when.UTC()
		s.settle(s.save())
	}
}
