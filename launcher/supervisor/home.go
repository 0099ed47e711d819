package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
)

// The run directory is in memory, as a rule in a file system that others use too,
// and somebody may unmount or empty it. QEMU does not mind: it has what it needs
// open. Its supervisor knows all that was written there and writes it anew, so
// that the VM is listed, can be stopped, and the host gets its own values back.
// The sockets and the logs so far are lost.

// homeTime is how long the run directory's lock may be waited for.
const homeTime = 5 * time.Second

// keepHome makes sure that the VM's folder is where it belongs.
func (s *supervisor) keepHome() {
	trouble, err := "the VM's folder cannot be looked at", s.dir.Has(s.lock)
	if errors.Is(err, fs.ErrNotExist) {
		trouble, err = "the VM's folder is gone and cannot be put back", s.comeHome()
		s.settle(s.putRecordsBack())
	} else {
		s.settle(errors.Join(s.mend(), s.keepLeases()))
	}
	switch {
	case err == nil:
		s.astray = ""
	case s.astray != err.Error(): // said once
		s.astray = err.Error()
		s.log.Error(trouble, "err", err)
	}
}

// keepLeases takes the VM's leases anew if they were removed.
func (s *supervisor) keepLeases() error {
	if launcher.HasLeases(s.root, &s.spec) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), homeTime)
	defer cancel()
	guard, err := s.root.Lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = guard.Close() }()
	return launcher.Lease(s.root, &s.spec)
}

// mend writes the description and the state anew if somebody else has written
// there: what they say is this process's to say.
func (s *supervisor) mend() error {
	if s.written.asWas(s.dir) {
		return nil
	}
	if err := errors.Join(s.dir.Write(vmdir.SpecFile, &s.spec), s.save()); err != nil {
		return err
	}
	s.written = stampsOf(s.dir)
	s.event("record-restored", nil)
	return nil
}

// stamps are what the VM's files looked like when this process had last read or
// written them.
type stamps struct{ spec, state os.FileInfo }

// stampsOf looks at the files. One that is not there has none.
func stampsOf(d vmdir.Dir) (now stamps) {
	now.spec, _ = os.Lstat(d.File(vmdir.SpecFile))
	now.state, _ = os.Lstat(d.File(vmdir.StateFile))
	return now
}

func (s stamps) asWas(d vmdir.Dir) bool {
	now := stampsOf(d)
	return same(s.spec, now.spec) && same(s.state, now.state)
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// comeHome makes the folder anew.
func (s *supervisor) comeHome() error {
	root, err := vmdir.Open(s.root.Path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), homeTime)
	defer cancel()
	guard, err := root.Lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = guard.Close() }()
	if s.reclaim() {
		return nil
	}
	folder, err := root.New()
	if err != nil {
		return err
	}
	err = errors.Join(folder.Dir.Write(vmdir.SpecFile, &s.spec), folder.Dir.Write(vmdir.StateFile, &s.state))
	if err == nil {
		err = launcher.Lease(root, &s.spec)
	}
	if err == nil {
		err = folder.Name(root, s.dir.Name)
	}
	if err != nil {
		return errors.Join(err, folder.Discard())
	}
	return s.moveIn(folder)
}

// reclaim takes the lock of the folder that has the VM's name if it is the VM's own:
// of which only the lock was removed.
func (s *supervisor) reclaim() bool {
	var spec launcher.Spec
	if s.dir.Read(vmdir.SpecFile, &spec) != nil || spec.ID() != s.spec.ID() {
		return false
	}
	lock, err := s.dir.Supervise()
	if err != nil {
		return false
	}
	_ = s.lock.Close()
	s.lock = lock
	return true
}

// moveIn uses the new folder in the old one's place.
func (s *supervisor) moveIn(folder vmdir.New) error {
	_ = s.lock.Close()
	s.lock = folder.Lock
	log, err := openLog(s.dir)
	if err != nil {
		return fmt.Errorf("move in: %w", err)
	}
	s.log = log
	journal, err := s.dir.OpenJournal()
	if err != nil {
		return fmt.Errorf("move in: %w", err)
	}
	_ = s.journal.Close()
	s.journal = journal
	s.written = stampsOf(s.dir)
	s.event("record-restored", nil)
	return nil
}

// putRecordsBack writes the copy into the journal that was lost.
func (s *supervisor) putRecordsBack() error {
	if s.state.Plan == nil {
		return nil
	}
	return s.state.Plan.PutBack(s.host, s.records)
}

// keepRecords takes a copy of what the network's journal says of this VM.
func (s *supervisor) keepRecords() {
	if s.state.Plan == nil || s.dir.Has(s.lock) != nil {
		return
	}
	s.settle(s.putRecordsBack()) // if the journal alone was lost
	records, err := s.state.Plan.Records(s.host)
	if err != nil {
		s.log.Error("the network's journal cannot be read", "err", err)
		return
	}
	s.records = s.records.With(records)
}
