package qmp_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	goqemu "github.com/digitalocean/go-qemu/qmp"

	"kvmrun/qmp"
)

func TestRealDomain(t *testing.T) {
	c := startQEMU(t).dial(t)
	domain, err := qemu.NewDomain(c.Monitor(within(t, patience)), "web")
	if err != nil {
		t.Fatal(err)
	}
	if status, err := domain.Status(); err != nil || status != qemu.StatusPreLaunch {
		t.Errorf("status %v, %v", status, err)
	}
	if version, err := domain.Version(); err != nil || version != c.Version().String() {
		t.Errorf("version %q, %v; the greeting says %q", version, err, c.Version())
	}
	if known, err := domain.Supported("device_add"); err != nil || !known {
		t.Errorf("device_add supported: %v, %v", known, err)
	}
	if devices, err := domain.PCIDevices(); err != nil || len(devices) == 0 {
		t.Errorf("PCI devices %v, %v", devices, err)
	}

	events, stop, err := domain.Events()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := domain.Run(goqemu.Command{Execute: "cont"}); err != nil {
		t.Fatal(err)
	}
	select {
	case ev := <-events:
		if ev.Event != "RESUME" {
			t.Errorf("event %+v", ev)
		}
	case <-time.After(patience):
		t.Fatal("no event came")
	}
	stop <- struct{}{}

	if err := domain.Close(); err != nil {
		t.Error(err)
	}
	await(t, c.Done(), "the end of the connection")
	if !errors.Is(c.Err(), qmp.ErrClosed) {
		t.Errorf("reason %v", c.Err())
	}
}

func TestRealMonitorRun(t *testing.T) {
	c := startQEMU(t).dial(t)
	m := c.Monitor(within(t, patience))
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}

	reply, err := m.Run([]byte(`{ "execute": "query-status", "id": "mine" }`))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		ID     string
		Return struct{ Status string }
	}
	if err := json.Unmarshal(reply, &got); err != nil || got.ID != "mine" || got.Return.Status != "prelaunch" {
		t.Errorf("reply %s, %v", reply, err)
	}

	for _, bad := range []string{``, `[]`, `null`, `{}`, `{"exec-oob":"query-status"}`, `{"execute":7}`} {
		if reply, err := m.Run([]byte(bad)); err == nil {
			t.Errorf("%q was run: %s", bad, reply)
		}
	}
	if _, err := m.Run([]byte(`{"execute":"no-such-command"}`)); !qmp.HasClass(err, qmp.ClassCommandNotFound) {
		t.Errorf("unknown command: %v", err)
	}

	if err := m.Disconnect(); err != nil {
		t.Error(err)
	}
	if err := m.Connect(); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("connect after disconnect: %v", err)
	}
	if _, err := m.Events(context.Background()); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("events after disconnect: %v", err)
	}
}

func TestMonitorBoundedByItsContext(t *testing.T) {
	c := dialPeer(t, func(p *peer) { p.discard() })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Monitor(ctx).Run([]byte(`{"execute":"query-status"}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
	events, err := c.Monitor(ctx).Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range events { // ends at once, as the context has
	}
}
