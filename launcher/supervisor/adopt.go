package supervisor

import (
	"context"
	"errors"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
)

// adoptTime is how long a QEMU that is taken over may take to greet before the
// supervisor goes on without its monitor.
const adoptTime = 2 * time.Second

// adopt takes hold of a running QEMU: its process, its monitor and the guest's
// DHCP. The process is enough to clean up after it one day, so whatever else
// cannot be had is only logged. If QEMU is gone it leaves everything to the end.
func (s *supervisor) adopt() error {
	handle, err := s.findQEMU()
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	s.qemu = watchHandle(handle)
	s.state.QEMU = handle.ID
	if s.state.Supervisor, err = process.Self(); err != nil {
		return err
	}
	if s.state.Phase == "" {
		s.state.Phase = launcher.Starting
	}
	if reason, _ := s.stopAsked(); reason == "" {
		s.settle(s.dir.WithdrawStop()) // of a command that was killed before QEMU ended
	}
	s.settle(s.save())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-s.qemu.done
		cancel()
	}()
	go s.reconnect(ctx)
	select {
	case c := <-s.arrives:
		s.arrive(c)
	case <-s.qemu.done:
	case <-time.After(adoptTime):
		s.log.Warn("QEMU does not greet; it will be asked again")
	}
	s.serveAgain(ctx)
	s.event("adopted", nil)
	return nil
}

// findQEMU takes hold of the VM's QEMU, known or not: the supervisor that
// started it may have been killed before it could write down which it is.
func (s *supervisor) findQEMU() (*process.Handle, error) {
	id := s.state.QEMU
	if !id.Alive() {
		var err error
		if id, err = launcher.FindQEMU(&s.spec); err != nil {
			return nil, err
		}
	}
	return process.Open(id)
}

// serveAgain serves the guest's address as the last supervisor did, as far as
// it can be had.
func (s *supervisor) serveAgain(ctx context.Context) {
	if s.state.Plan == nil {
		return
	}
	var run servers
	var err error
	if run.dhcp, err = s.openDHCP(); err != nil {
		s.log.Error("nobody tells the guest its address", "err", err)
	}
	if run.dns, err = s.openDNS(); err != nil {
		s.log.Error("nobody tells the guest names", "err", err)
	}
	if err := s.startDnsmasq(ctx); err != nil {
		s.log.Error("dnsmasq does not serve the guest", "err", err)
	}
	s.serve(run)
}
