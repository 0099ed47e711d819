package supervisor

import (
	"context"
	"time"
)

// A guest's kernel tells QEMU of its panic by a device (QEMU's docs, specs/pvpanic), to
// which anybody who is root in the guest may write without end. QEMU has an event for each
// time, which it does not hold back as it does others, and keeps those that nobody has read
// yet in the host's memory. It is the same with what a guest says of a processor that is
// plugged in or out (QEMU's docs, specs/acpi_cpu_hotplug), which none of these guests has.
// So a guest that says any of it too often is stopped.

// cryWolf are QEMU's events of that.
var cryWolf = map[string]bool{
	"GUEST_PANICKED": true, "GUEST_CRASHLOADED": true, "GUEST_PVSHUTDOWN": true,
	"ACPI_DEVICE_OST": true,
}

// A kernel that panics says so once or twice.
const (
	mostCries   = 64
	criesWithin = 10 * time.Second
)

// cries counts them.
type cries struct {
	since time.Time
	count int
	// hushed says that the guest was stopped for them, and has not gone on since.
	hushed bool
}

// hushReason is why the guest stands still then.
const hushReason = "the guest tells of panics or processors without end, which would take the host's memory; see kvmrun logs; kvmrun resume lets it go on"

// another counts one, and tells whether that was one too many.
func (c *cries) another(now time.Time) bool {
	if now.Sub(c.since) > criesWithin {
		c.since, c.count = now, 0
	}
	c.count++
	return !c.hushed && c.count > mostCries
}

// cried follows such an event.
func (s *supervisor) cried() {
	client := s.monitor
	if !s.cries.another(time.Now()) || client == nil {
		return
	}
	s.cries.hushed = true
	s.log.Warn(hushReason)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), attemptTime)
		defer cancel()
		// The answer is behind all that the guest has said so far.
		if err := client.Execute(ctx, "stop", nil, nil); err != nil {
			s.post(context.Background(), func() { s.log.Error("stop a guest that tells of panics or processors without end", "err", err) })
		}
	}()
}
