package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
)

// abandon undoes a launch that failed. The record stays if QEMU had a part in
// the failure, so that its words can be read, and if nobody waited who could be
// told; otherwise, and if nobody waits any more, nothing does.
func (s *supervisor) abandon(failure error, givenUp, detached bool) error {
	keep := s.qemu != nil && launcher.KindOf(failure) == launcher.KindQEMU && !givenUp || detached
	s.stopQEMU()
	if _, asked := s.stopAsked(); keep && !asked {
		return s.end(failure)
	}
	return s.end(nil)
}

// ifStopped says of a launch that failed because somebody stopped the VM that this
// is why.
func (s *supervisor) ifStopped(failure error) error {
	if reason, asked := s.stopAsked(); !asked || reason != "" || launcher.KindOf(failure) != launcher.KindQEMU {
		return failure
	}
	return &launcher.Error{Kind: launcher.KindEnded, Err: errors.New("it was stopped while it started"), Advice: "start it again"}
}

// stopQEMU ends a QEMU that must not go on.
func (s *supervisor) stopQEMU() {
	if s.qemu == nil {
		return
	}
	if s.qemu.handle != nil {
		err := launcher.EndQEMU(context.Background(), s.qemu.handle, func(what string) { s.log.Warn(what) })
		if err != nil {
			s.log.Error("QEMU cannot be ended", "err", err)
		}
	}
	<-s.qemu.done
}

// regainAddress makes sure that nobody gets the address of a VM that is dead while
// what was done for it is undone. The supervisor that was killed may have given it
// back, which it did last: if another VM has it by now nothing is left to undo, and
// what the host does for the address is done for that one.
func (s *supervisor) regainAddress() error {
	ctx, cancel := context.WithTimeout(context.Background(), homeTime)
	defer cancel()
	err := launcher.LeaseAddress(ctx, s.root, &s.spec)
	if errors.Is(err, fs.ErrExist) {
		s.state.Plan = nil
		return nil
	}
	return err
}

// end takes everything back, now that QEMU is gone. A VM that ended as it
// should leaves nothing; of one that failed the record stays, without its
// leases, until its name is used again or it is stopped. If not all can be
// undone the record stays with all that it takes to try again. The error is
// about what could not be undone.
func (s *supervisor) end(failure error) error {
	s.stopDnsmasq()
	s.stopTPM()
	s.awaitShares()
	s.dropDisks()
	s.keepHome() // what was changed, and from what, is written there
	var undone error
	if s.state.Plan != nil {
		undone = s.state.Plan.Undo(context.Background(), s.host)
	}
	s.state.Leftover = ""
	if undone != nil {
		s.state.Leftover = oneLine(undone)
		s.log.Error("not all could be undone", "err", undone)
		if failure == nil {
			failure = fmt.Errorf("not all could be undone: %s", s.state.Leftover)
		}
	}
	if errors.Is(s.dir.Has(s.lock), fs.ErrNotExist) {
		return undone // what has the VM's name is another's
	}
	if failure == nil {
		return launcher.Release(s.root, &s.spec)
	}
	for _, socket := range []string{vmdir.OwnSocket, vmdir.MonitorSocket, vmdir.ConsoleSocket, vmdir.ScreenSocket, vmdir.AgentFolder} {
		_ = os.RemoveAll(s.dir.File(socket))
	}
	if undone == nil {
		undone = launcher.ReleaseLeases(s.root, &s.spec)
	}
	s.event("failed", map[string]any{"error": failure.Error()})
	// Last of all: who reads it may take the name.
	s.state.Phase, s.state.Reason = launcher.Failed, reason(failure)
	s.settle(s.save())
	return undone
}

// oneLine is an error that may be several, for a message.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// reason is a failure in one line, for list.
func reason(failure error) string {
	var e *launcher.Error
	if errors.As(failure, &e) {
		return e.Err.Error()
	}
	return failure.Error()
}

// lastBreath is how long QEMU may take to end once it has closed its monitor.
const lastBreath = 2 * time.Second

// explainExit makes an error of how QEMU ended and what it said last.
func (s *supervisor) explainExit() error {
	select {
	case <-s.qemu.done:
	case <-time.After(lastBreath):
		return &launcher.Error{Kind: launcher.KindQEMU, Err: errors.New("QEMU closed its monitor and runs on"),
			Advice: "see kvmrun logs --qemu " + s.dir.Name}
	}
	said := s.lastWords()
	if strings.Contains(said, `Failed to get "write" lock`) || strings.Contains(said, `Failed to get shared "write" lock`) {
		return s.explainLock()
	}
	how := s.qemu.exit
	if how == "" {
		how = "exit status 0"
	}
	if said != "" {
		how += ": " + said
	}
	return &launcher.Error{
		Kind: launcher.KindQEMU, Err: fmt.Errorf("QEMU ended (%s)", how),
		Advice: "see kvmrun logs --qemu " + s.dir.Name,
	}
}

// explainLock tells which image another QEMU was quicker to take.
func (s *supervisor) explainLock() error {
	for _, d := range s.spec.Disks {
		chain, err := launcher.OpenDisk(d, s.spec.AllowBacking)
		if err != nil {
			return err
		}
		_ = chain.Close()
	}
	if u := s.spec.UEFI; u != nil && u.Variables != "" {
		f, err := launcher.OpenVariables(u)
		if err != nil {
			return err
		}
		_ = f.Close()
	}
	return &launcher.Error{Kind: launcher.KindImageInUse, Err: errors.New("another QEMU had an image when this one started"),
		Advice: "try again"}
}

// maxWords bounds how much of QEMU's log goes into an error, in bytes.
const maxWords = 600

// lastWords are the last lines of QEMU's standard error, on one line.
func (s *supervisor) lastWords() string {
	text, err := tail(s.dir.File(vmdir.QEMULog), maxWords)
	if err != nil {
		return ""
	}
	var words []string
	for line := range strings.Lines(text) {
		line = strings.Map(printable, strings.TrimSpace(line))
		line = strings.TrimPrefix(line, s.spec.QEMU+": ")
		if line != "" {
			words = append(words, line)
		}
	}
	return strings.Join(words, "; ")
}

// printable drops what must not go to a terminal.
func printable(r rune) rune {
	if !unicode.IsPrint(r) || r == utf8.RuneError {
		return -1
	}
	return r
}

// tail reads at most n bytes from a file's end.
func tail(path string, n int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	text := make([]byte, min(n, info.Size()))
	_, err = f.ReadAt(text, info.Size()-int64(len(text)))
	return string(text), err
}
