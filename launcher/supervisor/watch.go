package supervisor

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"kvmrun/launcher"
	"kvmrun/qmp"
)

// busyTime is how long after its start a VM keeps its supervisor busy, roughly.
const busyTime = 5 * time.Second

// trimInterval is how often the growing files are held against their bounds.
const trimInterval = 30 * time.Second

// rest gives back the memory that bringing the VM up took: from here on little
// happens, and there may be hundreds of supervisors.
func rest() {
	debug.SetGCPercent(20)
	debug.FreeOSMemory()
}

// hurry spares the processor the collection of garbage that goes with this process
// soon: hundreds may end at once. A bound remains, for QEMU may be told not to end.
func hurry() { debug.SetGCPercent(400) }

// watch follows the VM until its QEMU is gone, and returns why it ended if
// that was not as it should be, or until another supervisor is to take over.
func (s *supervisor) watch() (failure error, left bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer s.keep(ctx)() // nothing is repaired that is being undone
	defer cancel()
	s.unkeep = cancel
	quiet := time.After(busyTime)
	trim := time.NewTicker(trimInterval)
	defer trim.Stop()
	home := time.NewTicker(launcher.HomeInterval)
	defer home.Stop()
	for {
		select {
		case c := <-s.arrives:
			s.arrive(c)
		case e, ok := <-s.incoming():
			if !ok {
				s.events = nil // the monitor is gone; QEMU follows
				continue
			}
			s.note(e)
			s.makeUp()
		case task := <-s.tasks:
			task()
		case <-s.button:
			s.press()
		case <-s.wake:
			s.resume()
		case <-s.hold:
			s.pause()
		case <-s.again:
			s.reset()
		case <-s.plug:
			s.setLink(true)
		case <-s.unplug:
			s.setLink(false)
		case <-quiet:
			rest()
		case <-trim.C:
			s.settle(s.dir.Trim())
			s.keepRecords()
		case <-home.C:
			s.keepHome()
		case <-s.leave:
			if !s.qemu.ended() {
				return nil, true
			}
		case <-s.qemu.done:
			s.drain()
			return s.judge(), false
		}
	}
}

// drain takes what QEMU said last.
func (s *supervisor) drain() {
	if s.events == nil {
		return
	}
	for e := range s.events.C {
		s.note(e)
	}
}

// note writes an event of QEMU's down and follows it.
func (s *supervisor) note(e qmp.Event) {
	var data any
	if len(e.Data) > 0 {
		data = e.Data
	}
	when := time.Unix(e.Timestamp.Seconds, e.Timestamp.Microseconds*int64(time.Microsecond/time.Nanosecond))
	if err := s.journal.AddCaused(e.Event, when, data); err != nil {
		s.log.Error("event is lost", "event", e.Event, "err", err)
	}
	if cryWolf[e.Event] {
		s.cried()
	}
	switch e.Event {
	case "BLOCK_IO_ERROR":
		s.blame(e)
	case "STOP":
		s.turns++
		s.paused()
	case "RESUME":
		s.turns++
		s.goesOn()
	case "RESET":
		s.bootAgain()
	case "GUEST_PANICKED":
		s.panicked(when)
	case "VSERPORT_CHANGE":
		s.turns++
		s.agentTurned(e, when)
	case "SHUTDOWN":
		// QEMU takes a while yet to give up its tap, and closing packet
		// sockets takes as long: side by side they take it once.
		s.shutdown = true
		s.unserve()
		s.unkeep()
		hurry()
		s.follow(launcher.Stopping)
	}
}

// follow moves to a phase that QEMU is in already. QEMU stops its processors
// once more while it shuts down, which is no pause.
func (s *supervisor) follow(to launcher.Phase) {
	if s.state.Phase == launcher.Stopping {
		return
	}
	s.settle(s.move(to))
}

// judge tells whether QEMU's end was as it should be: it was asked for, or
// QEMU itself called it a shutdown, to this supervisor or the one before, and said
// nothing else on its way out. A VM that never came to have a QEMU has not failed.
func (s *supervisor) judge() error {
	if reason, asked := s.stopAsked(); asked {
		if reason != "" {
			return errors.New(reason)
		}
		return nil
	}
	switch {
	case s.state.Phase == launcher.Failed: // not all could be undone at that time
		return errors.New(s.state.Reason)
	case s.qemu != nil && s.qemu.known && s.qemu.exit != "":
		return s.explainExit()
	case s.state.Phase == "", s.state.Phase == launcher.Stopping, s.qemu != nil && (s.qemu.known || s.shutdown):
		return nil
	case s.qemu == nil:
		return errors.New("QEMU and its supervisor have ended")
	}
	return errors.New("QEMU ended without a word")
}
