package supervisor

import (
	"context"
	"errors"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
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
	var run servers
	if run.dhcp, err = s.openDHCP(); err != nil {
		return err
	}
	if run.dns, err = s.openDNS(); err != nil {
		return err
	}
	if err := s.startDnsmasq(ctx); err != nil {
		return err
	}
	if err := s.startTPM(&config, h); err != nil {
		return err
	}
	if err := s.startShares(ctx, &config, h); err != nil {
		return err
	}
	if err := s.execute(config, h); err != nil {
		return err
	}
	h.close() // from here on QEMU alone keeps tap and sockets alive
	s.serve(run)
	phase, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if phase == launcher.Paused {
		s.diagnose()
	}
	s.disksRan()
	s.state.Started = time.Now().UTC()
	data := map[string]any{"pid": s.state.QEMU.PID, "ip": s.spec.Network.IP}
	if s.restart {
		data["again"] = true
	}
	s.event("started", data)
	return s.move(phase)
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

// connect shakes hands with QEMU's monitor, learns whether the guest runs, and
// makes sure that it has its network card and shows its screen. If QEMU ends meanwhile, its own words
// are the error.
func (s *supervisor) connect(ctx context.Context) (launcher.Phase, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSilent)
	defer cancel()
	c, err := greet(ctx, s.dir)
	if err == nil {
		s.use(c)
		err = s.checkCard(ctx)
	}
	if err == nil {
		err = s.openScreen(ctx)
	}
	var told *launcher.Error
	if err == nil || errors.As(err, &told) {
		return c.phase, err
	}
	return "", s.explainSilence(ctx, err)
}

// explainSilence makes an error of QEMU's not speaking as it should.
func (s *supervisor) explainSilence(ctx context.Context, err error) error {
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

// openDHCP opens the built-in server's socket before QEMU runs, so that the
// guest's first word is heard.
func (s *supervisor) openDHCP() (*dhcp.Server, error) {
	if s.spec.Network.DHCP != launcher.DHCPBuiltin {
		return nil, nil
	}
	return dhcp.Listen(s.spec.DHCPConfig(s.state.Plan.TapAddress))
}
