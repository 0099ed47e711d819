package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	err := s.dir.Has(s.lock)
	if errors.Is(err, fs.ErrNotExist) {
		err = s.comeHome()
		s.settle(s.putRecordsBack())
	}
	switch {
	case err == nil:
		s.astray = ""
	case s.astray != err.Error(): // said once
		s.astray = err.Error()
		s.log.Error("the VM's folder is gone and cannot be put back", "err", err)
	}
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
	records, err := s.state.Plan.Records(s.host)
	if err != nil {
		s.log.Error("the network's journal cannot be read", "err", err)
		return
	}
	s.records = records
}
