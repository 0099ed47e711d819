package supervisor

import (
	"context"
	"errors"
	"net"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
	"kvmrun/netplumb/dhcp"
	"kvmrun/qmp"
)

// patience is how long QEMU may take to greet on its monitor if whoever
// started it does not say.
const patience = 2 * time.Minute

// launch brings the VM up. If it fails, what it did is still there: abandon
// undoes it.
func (s *supervisor) launch(ctx context.Context) error {
	h := new(handover)
	defer h.close()
	config, err := s.prepare(ctx, h)
	if err != nil {
		return err
	}
	server, err := s.openDHCP()
	if err != nil {
		return err
	}
	if err := s.startDnsmasq(ctx); err != nil {
		return err
	}
	if err := s.execute(config, h); err != nil {
		return err
	}
	h.close() // from here on QEMU alone keeps tap and sockets alive
	s.serve(server)
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.state.Started = time.Now().UTC()
	s.event("started", map[string]any{"pid": s.state.QEMU.PID, "ip": s.spec.Network.IP})
	return s.move(launcher.Running)
}

// plan writes down what will be done to the host before it is done.
func (s *supervisor) plan() error {
	config := s.spec.NetConfig()
	facts, err := s.host.Facts(config.Uplink, config.Gateway)
	if err != nil {
		return err
	}
	plan, err := netplumb.NewPlan(config, facts)
	if err != nil {
		return err
	}
	self, err := process.Self()
	if err != nil {
		return err
	}
	s.state = launcher.State{
		Version: launcher.StateVersion, Phase: launcher.Starting,
		Created: time.Now().UTC(), Supervisor: self, Plan: plan,
	}
	return s.save()
}

// connect shakes hands with QEMU's monitor and learns that the guest runs and
// has its network card. If QEMU ends meanwhile, its own words are the error.
func (s *supervisor) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSilent)
	defer cancel()
	err := s.greet(ctx)
	if err == nil {
		err = s.checkCard(ctx)
	}
	var told *launcher.Error
	if err == nil || errors.As(err, &told) {
		return err
	}
	if errors.Is(err, qmp.ErrHangup) || s.qemu.ended() {
		return s.explainExit()
	}
	if ctx.Err() != nil {
		return &launcher.Error{Kind: launcher.KindQEMU, Err: errSilent,
			Advice: "see by the script of kvmrun start --dry-run what it does"}
	}
	return &launcher.Error{Kind: launcher.KindQEMU, Err: err, Advice: "see kvmrun logs --qemu " + s.dir.Name}
}

var errSilent = errors.New("QEMU runs but does not answer on its monitor")

// greet opens the supervisor's own monitor.
func (s *supervisor) greet(ctx context.Context) error {
	conn, err := s.dir.Dial(ctx, vmdir.OwnSocket)
	if err != nil {
		return err
	}
	if s.monitor, err = qmp.New(ctx, conn.(*net.UnixConn)); err != nil {
		return err
	}
	var status struct{ Status string }
	if err := s.monitor.Execute(ctx, "query-status", nil, &status); err != nil {
		return err
	}
	v := s.monitor.Version()
	s.state.QEMUVersion = v.String()
	return nil
}

// openDHCP opens the built-in server's socket before QEMU runs, so that the
// guest's first word is heard.
func (s *supervisor) openDHCP() (*dhcp.Server, error) {
	if s.spec.Network.DHCP != launcher.DHCPBuiltin {
		return nil, nil
	}
	return dhcp.Listen(s.spec.DHCPConfig(s.state.Plan.TapAddress))
}
