package supervisor

import (
	"context"

	"kvmrun/launcher/vmdir"
)

// openScreen has QEMU listen for VNC clients on a socket of the VM's folder, which it
// gets as a descriptor: it goes on listening without a supervisor. Who can reach the
// socket needs no password; that is root alone.
func (s *supervisor) openScreen(ctx context.Context) error {
	if !s.spec.Screen {
		return nil
	}
	socket, err := s.dir.Listen(vmdir.ScreenSocket)
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	const name = "vnc"
	if err := s.monitor.PassFile(ctx, name, socket); err != nil {
		return err
	}
	type address struct {
		Type string `json:"type"`
		Name string `json:"str"`
	}
	args := struct {
		Type      string    `json:"type"`
		Addresses []address `json:"addresses"`
	}{"vnc", []address{{"fd", name}}}
	return s.monitor.Execute(ctx, "display-update", args, nil)
}
