package supervisor

import (
	"context"
	"errors"
	"fmt"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
)

// adopt takes hold of a running QEMU and of the guest's DHCP. If QEMU is gone
// it leaves everything to the end.
func (s *supervisor) adopt() error {
	handle, err := process.Open(s.state.QEMU)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	s.qemu = watchHandle(handle)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.greet(ctx); err != nil && !s.qemu.ended() {
		return fmt.Errorf("%s: QEMU's monitor: %w", s.dir.Name, err)
	}
	if s.state.Supervisor, err = process.Self(); err != nil {
		return err
	}
	server, err := s.openDHCP()
	if err != nil && !s.qemu.ended() {
		return err
	}
	if err := s.startDnsmasq(ctx); err != nil {
		s.log.Error("dnsmasq does not serve the guest", "err", err)
	}
	s.serve(server)
	s.event("adopted", nil)
	if s.state.Phase == launcher.Starting {
		return s.move(launcher.Running)
	}
	return s.save()
}
