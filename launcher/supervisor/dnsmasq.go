package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb/dhcp"
)

// dnsmasqTime is how long dnsmasq may take to start or to end.
const dnsmasqTime = 5 * time.Second

// startDnsmasq runs a real dnsmasq for this guest alone, if that is wanted and
// none runs, and returns when it listens.
func (s *supervisor) startDnsmasq(ctx context.Context) error {
	ready, err := s.launchDnsmasq()
	if err != nil {
		return err
	}
	return ready(ctx)
}

// launchDnsmasq is startDnsmasq up to the waiting, for which it returns a function
// that any goroutine may call.
func (s *supervisor) launchDnsmasq() (ready func(context.Context) error, err error) {
	if s.spec.Network.DHCP != launcher.DHCPDnsmasq || s.findDnsmasq() {
		return func(context.Context) error { return nil }, nil
	}
	args, err := dhcp.DnsmasqArgs(s.spec.DHCPConfig(s.state.Plan.TapAddress))
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.dir.File(vmdir.DnsmasqLog), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("dnsmasq", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.Env = append(environment(), "LC_ALL=C") // its messages are translated
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, &launcher.Error{Kind: launcher.KindHost, Err: fmt.Errorf("start dnsmasq: %w", err)}
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	if s.state.Dnsmasq, err = process.Find(cmd.Process.Pid); err == nil {
		err = s.save()
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return awaitDnsmasq(ctx, log.Name(), ended) }, nil
}

// dnsmasqPause is how long after its end a dnsmasq is started again.
const dnsmasqPause = time.Second

// keepDnsmasq starts the VM's dnsmasq again whenever it has ended, until ctx ends:
// soon, and less and less often one that ends at once.
func (s *supervisor) keepDnsmasq(ctx context.Context) {
	if s.spec.Network.DHCP != launcher.DHCPDnsmasq {
		return
	}
	starts := efforts{}
	for {
		served := s.awaitDnsmasqsEnd(ctx)
		if ctx.Err() != nil {
			return
		}
		if served {
			s.post(ctx, func() { s.caused("dnsmasq-ended", nil) })
		}
		_ = launcher.Sleep(ctx, dnsmasqPause)
		for ctx.Err() == nil && !starts.may("dnsmasq", time.Now()) {
			_ = launcher.Sleep(ctx, dnsmasqPause)
		}
		if err := s.restartDnsmasq(ctx); err != nil && ctx.Err() == nil {
			s.post(ctx, func() { s.log.Error("dnsmasq does not serve the guest", "err", err) })
		}
	}
}

// awaitDnsmasqsEnd tells whether there was one. It gives up when ctx ends.
func (s *supervisor) awaitDnsmasqsEnd(ctx context.Context) bool {
	var running process.ID
	if s.ask(ctx, func() error { running = s.state.Dnsmasq; return nil }) != nil {
		return false
	}
	handle, err := process.Open(running)
	if err != nil {
		return false
	}
	defer func() { _ = handle.Close() }()
	return handle.Wait(ctx) == nil
}

// restartDnsmasq is startDnsmasq for another goroutine than the supervisor's own,
// which does not wait.
func (s *supervisor) restartDnsmasq(ctx context.Context) error {
	var ready func(context.Context) error
	err := s.ask(ctx, func() (err error) {
		ready, err = s.launchDnsmasq()
		return err
	})
	if err != nil {
		return err
	}
	return ready(ctx)
}

// awaitDnsmasq reads dnsmasq's log until it says that it listens. There is no
// other way to know; the log is looked at often, for the short while it takes.
func awaitDnsmasq(ctx context.Context, path string, ended <-chan struct{}) error {
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	ctx, cancel := context.WithTimeoutCause(ctx, dnsmasqTime, errors.New("it does not get ready"))
	defer cancel()
	lines := bufio.NewReader(log)
	var said, part string
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		text, err := lines.ReadString('\n')
		part += text
		switch {
		case err == nil:
			if dhcp.DnsmasqStarted(part) {
				return nil
			}
			said, part = part, ""
			continue
		case !errors.Is(err, io.EOF):
			return err
		}
		select {
		case <-look.C:
		case <-ended:
			return &launcher.Error{Kind: launcher.KindHost, Err: fmt.Errorf("dnsmasq ended at once: %s", said)}
		case <-ctx.Done():
			return &launcher.Error{Kind: launcher.KindHost, Err: fmt.Errorf("dnsmasq: %w: %s", context.Cause(ctx), said)}
		}
	}
}

// findDnsmasq tells whether the VM has a dnsmasq, known or not: the supervisor
// that started it may have been killed before it could write down which it is.
func (s *supervisor) findDnsmasq() bool {
	if s.state.Dnsmasq.Alive() {
		return true
	}
	id, err := process.Search(process.SharesNetwork, dhcp.DnsmasqInterface(s.spec.Network.Tap))
	if err != nil {
		return false
	}
	s.state.Dnsmasq = id
	return true
}

// stopDnsmasq ends the VM's dnsmasq and waits for it.
func (s *supervisor) stopDnsmasq() {
	if s.spec.Network.DHCP != launcher.DHCPDnsmasq || !s.findDnsmasq() {
		return
	}
	h, err := process.Open(s.state.Dnsmasq)
	if err != nil {
		return
	}
	defer func() { _ = h.Close() }()
	_ = h.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), dnsmasqTime)
	defer cancel()
	if h.Wait(ctx) != nil {
		_ = h.Signal(syscall.SIGKILL)
		_ = h.Wait(context.Background())
	}
}
