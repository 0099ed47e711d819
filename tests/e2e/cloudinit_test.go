package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// waitForCloudInit writes what cloud-init writes into a guest that has none, and looks
// what waits for it make of that.
func (h *host) waitForCloudInit(t *testing.T, way string) {
	guest := func(script string) {
		t.Helper()
		if r := h.exec(t, "--by", way, "web", "--", "sh", "-c", script); r.ExitCode != 0 {
			t.Errorf("%s: %s", script, r)
		}
	}
	const status = `{"v1": {"init": {"errors": [%s], "finished": null}, "stage": "init"}}`
	guest("mkdir -p /run/cloud-init; echo '" + fmt.Sprintf(status, "") + "' >/run/cloud-init/status.json; echo last words >/dev/console")
	if message := h.fails(t, 12, "wait", "web", "--for", "cloud-init", "--timeout", "3s"); !strings.Contains(message, "cloud-init (it is not done)") && way == "agent" {
		t.Errorf("under way: %s", message)
	}
	for _, c := range []struct {
		writes, file string
		status       int
		says         string
	}{
		{`{"v1": {"datasource": "x", "errors": []}}`, "result.json", 0, ""},
		{`{"v1": {"datasource": "x", "errors": ["scripts_user failed"]}}`, "result.json", 21, "cloud-init has failed: scripts_user failed"},
		{fmt.Sprintf(status, `"no datasource"`), "status.json", 21, "cloud-init has failed: no datasource"},
		{"", "disabled", 21, "not to run"},
	} {
		p := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "cloud-init")
		select {
		case <-p.Done():
			t.Errorf("it did not wait: %s", p.Wait(t, patience))
		case <-time.After(300 * time.Millisecond):
		}
		guest("echo '" + c.writes + "' >/run/cloud-init/new; mv /run/cloud-init/new /run/cloud-init/" + c.file)
		begun := time.Now()
		r := p.Wait(t, patience)
		t.Logf("by %s: %s: %v after it was written", way, c.file, time.Since(begun))
		if r.ExitCode != c.status || !strings.Contains(r.Stderr, c.says) || c.status != 0 && !strings.Contains(r.Stderr, "last words") {
			t.Errorf("%s: %s", c.file, r)
		}
		guest("rm -f /run/cloud-init/*")
	}
}
