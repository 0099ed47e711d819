// Package supervisor looks after one VM: it prepares the host, starts QEMU,
// speaks with its monitor, tells the guest its address, and takes everything
// back when QEMU is gone, however it went.
//
// A supervisor owns nothing. QEMU holds its own descriptors and goes on if the
// supervisor is killed; whatever must be known to carry on is in the VM's
// folder before it is done, and another supervisor carries on from there.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/launcher"
	"kvmrun/launcher/disks"
	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
	"kvmrun/qmp"
)

// supervisor is one VM's. Its fields belong to the goroutine that runs Run;
// others send it functions by tasks.
type supervisor struct {
	data    string
	root    vmdir.Root
	dir     vmdir.Dir
	lock    *os.File // open for as long as the VM is supervised
	spec    launcher.Spec
	state   launcher.State
	starter *starter
	disks   *disks.Folder // with the lock of what is kept of the VM's disks, until QEMU alone has it
	restart bool          // the VM was stopped to be started again
	journal *vmdir.Journal
	host    *netplumb.Host
	records netplumb.Records // of the network's journal, should that vanish
	written stamps           // of the VM's own files
	astray  string           // why the VM's folder is not where it belongs; "" if it is
	log     *slog.Logger

	qemu    *child
	monitor *qmp.Client       // nil until QEMU has greeted
	events  *qmp.Subscription // nil until then, and when QEMU has hung up
	arrives chan connection   // gives monitor and events where they are late
	button  chan os.Signal    // asks to press the guest's power button
	wake    chan os.Signal    // asks to let the guest go on
	hold    chan os.Signal    // asks to have it stand still
	again   chan os.Signal    // asks to reset the machine
	plug    chan os.Signal    // asks to raise the link of the guest's card
	unplug  chan os.Signal    // asks to take it down
	leave   chan os.Signal    // asks to let go of the VM
	blamed  map[string]bool   // disks, by their node, for which QEMU has stopped the guest
	cries   cries
	tasks   chan func()
	unserve context.CancelFunc // ends what serve began
	onReset []func()           // called when the machine was reset next
	seek    func()             // waits anew for the guest to answer at its address
	unkeep  context.CancelFunc // ends what keep began
	guard   guard

	shutdown bool   // QEMU has said that it shuts down
	turns    uint64 // how often it has said that the guest or its agent stops or goes on
	missed   uint64 // events of QEMU's that were lost and made up for
	makingUp bool
}

// Run waits for an order on the socket, carries it out, and stays until the
// VM's QEMU is gone and everything is undone. What kept the VM from starting
// goes to whoever gave the order, not into the returned error, which is about
// the supervisor itself. Run owns the socket.
func Run(socket *os.File) error {
	button, leave := told(launcher.PowerButton), told(launcher.Leave)
	wake, hold, again := told(launcher.WakeUp), told(launcher.HoldStill), told(launcher.ResetIt)
	plug, unplug := told(launcher.PlugIn), told(launcher.Unplug)
	starter, err := newStarter(socket)
	if err != nil {
		return err
	}
	order, err := starter.order()
	if errors.Is(err, io.EOF) {
		return nil // there was nothing to do after all
	}
	if err != nil {
		return err
	}
	s, err := open(order, starter)
	if err != nil {
		starter.report(err, nil, true)
		return err
	}
	defer s.close()
	s.button, s.wake, s.hold, s.again, s.leave = button, wake, hold, again, leave
	s.plug, s.unplug = plug, unplug
	if order.Mode == launcher.ModeAdopt {
		return s.runAdopted()
	}
	return s.runLaunched(order.Detached)
}

// told is where a signal arrives by which others tell a supervisor what to do.
func told(sig os.Signal) chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, sig)
	return c
}

// runLaunched brings the VM up and follows it to its end.
func (s *supervisor) runLaunched(detached bool) error {
	ctx, cancel := s.starter.watch(detached)
	failure := launcher.During("start "+s.dir.Name, s.ifStopped(s.launch(ctx)))
	givenUp := ctx.Err() != nil
	cancel()
	if failure != nil {
		undone := s.abandon(failure, givenUp, detached)
		s.starter.report(failure, undone, true)
		return undone
	}
	s.allIsWell()
	return s.lookAfter()
}

// runAdopted takes over a VM whose supervisor has ended. If QEMU has ended too,
// it undoes what is left of the VM.
func (s *supervisor) runAdopted() error {
	err := s.dir.Read(vmdir.StateFile, &s.state)
	if err == nil {
		err = launcher.CheckRecord(s.dir, &s.spec, &s.state)
	}
	if err == nil && s.state.Phase == launcher.Failed && s.state.Leftover == "" {
		s.starter.report(nil, nil, true) // somebody else was quicker to clean up
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = s.adopt()
	}
	if err == nil && s.qemu == nil {
		err = s.regainAddress()
	}
	if err != nil {
		s.starter.report(launcher.During("adopt "+s.dir.Name, err), nil, true)
		return err
	}
	if s.qemu == nil {
		undone := s.end(s.judge())
		s.starter.report(nil, undone, true)
		return undone
	}
	if s.qemu.ended() { // while it was taken over: there is nobody to look after
		undone := s.lookAfter()
		s.starter.report(nil, undone, true)
		return undone
	}
	s.allIsWell()
	return s.lookAfter()
}

// allIsWell tells that to whoever gave the order. From then on the run directory may
// vanish, so there is a copy of the journal by then.
func (s *supervisor) allIsWell() {
	s.keepRecords()
	s.starter.report(nil, nil, false)
}

// lookAfter follows a VM that runs to its end, and takes everything back, unless
// another supervisor is to do that.
func (s *supervisor) lookAfter() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.watchNeighbour(ctx)
	go s.keepDnsmasq(ctx)
	go s.watchTPM(ctx)
	failure, left := s.watch()
	if left {
		s.log.Info("another supervisor takes over")
		return nil
	}
	return s.end(failure)
}

// open reads the VM's folder.
func open(o order, starter *starter) (*supervisor, error) {
	root, err := vmdir.At(o.RunDir)
	if err != nil {
		return nil, err
	}
	s := &supervisor{
		data: o.DataDir, root: root, dir: root.Dir(o.Name), lock: o.lock, starter: starter, restart: o.Again,
		tasks: make(chan func(), 16), arrives: make(chan connection, 1), guard: newGuard(),
		unserve: func() {}, seek: func() {}, unkeep: func() {},
	}
	if s.log, err = openLog(s.dir); err != nil {
		return nil, err
	}
	if err := s.dir.Read(vmdir.SpecFile, &s.spec); err != nil {
		return nil, err
	}
	if err := launcher.CheckRecord(s.dir, &s.spec, &s.state); err != nil {
		return nil, err
	}
	s.written = stampsOf(s.dir)
	if err := s.inheritDisks(o.disks); err != nil {
		return nil, err
	}
	if s.journal, err = s.dir.OpenJournal(); err != nil {
		return nil, err
	}
	s.host, err = netplumb.OpenHost(root.Net())
	return s, err
}

// openLog sends this process's own words, a panic's among them, to the VM's
// folder.
func openLog(dir vmdir.Dir) (*slog.Logger, error) {
	f, err := os.OpenFile(dir.File(vmdir.SupervisorLog), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	for _, standard := range []*os.File{os.Stdout, os.Stderr} {
		if err := unix.Dup3(int(f.Fd()), int(standard.Fd()), 0); err != nil {
			return nil, fmt.Errorf("log to %s: %w", f.Name(), err)
		}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)), nil
}

func (s *supervisor) close() {
	_ = s.starter.close()
	_ = s.journal.Close()
	_ = s.host.Close()
	_ = s.lock.Close()
	s.settle(s.closeDisks())
}

// event writes one of kvmrun's own events. A full run directory must not end
// the VM, so a failure is only logged.
func (s *supervisor) event(name string, data any) {
	if err := s.journal.Add(name, time.Now(), data); err != nil {
		s.log.Error("event is lost", "event", name, "err", err)
	}
}

// caused writes an event that the guest can cause as often as it likes.
func (s *supervisor) caused(name string, data any) {
	if err := s.journal.AddCaused(name, time.Now(), data); err != nil {
		s.log.Error("event is lost", "event", name, "err", err)
	}
}

// move changes the phase and writes it down.
func (s *supervisor) move(to launcher.Phase) error {
	if s.state.Phase == to {
		return nil
	}
	if err := s.state.Move(to); err != nil {
		return err
	}
	return s.save()
}

// save writes the state down.
func (s *supervisor) save() error {
	if errors.Is(s.dir.Has(s.lock), fs.ErrNotExist) {
		return nil // what has the name may be another's; keepHome writes it all
	}
	if err := s.dir.Write(vmdir.StateFile, &s.state); err != nil {
		return fmt.Errorf("write the VM's state: %w", err)
	}
	s.written.state = stampsOf(s.dir).state
	return nil
}

// stopAsked reports whether the VM's end is wanted, and with which reason. What
// stands in another's folder does not count.
func (s *supervisor) stopAsked() (reason string, asked bool) {
	if errors.Is(s.dir.Has(s.lock), fs.ErrNotExist) {
		return "", false
	}
	return s.dir.StopAsked()
}

// settle is for writes to the VM's folder that the VM must not depend on.
func (s *supervisor) settle(err error) {
	if err != nil {
		s.log.Error("the VM's folder is out of date", "err", err)
	}
}

// ask has the supervisor's own goroutine call a function and waits for what it
// returns. It gives up when the context ends.
func (s *supervisor) ask(ctx context.Context, task func() error) error {
	answer := make(chan error, 1)
	s.post(ctx, func() { answer <- task() })
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// post hands a function to the supervisor's own goroutine. It gives up when
// the context ends.
func (s *supervisor) post(ctx context.Context, task func()) {
	select {
	case s.tasks <- task:
	case <-ctx.Done():
	}
}
