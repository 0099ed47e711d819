package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"kvmrun/launcher/qemu"
	"kvmrun/netplumb"
	"kvmrun/netplumb/hostcheck"
)

// A remedy is named only where it can help.
func TestJudgeKVM(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: qemu.KVMDevice, Err: fs.ErrNotExist}
	for _, c := range []struct {
		err    error
		status hostcheck.Status
		remedy bool
	}{
		{nil, hostcheck.OK, false},
		{missing, hostcheck.Warn, true},
		{fmt.Errorf("here: %w", qemu.ErrNoVirtualisation), hostcheck.Warn, false},
		{errors.New("only root may open it"), hostcheck.Warn, false},
	} {
		got := judgeKVM(c.err)
		if got.Status != c.status || (got.Remedy != "") != c.remedy || got.Have == "" || c.err != nil && !strings.Contains(got.Have, c.err.Error()) {
			t.Errorf("%v: %+v", c.err, got)
		}
	}
}

func TestCheckNetworkOfLostTap(t *testing.T) {
	lost := []netplumb.Finding{{Step: "tap kr-web", Have: "absent"}, {Step: "settings of kr-web", Have: "absent"}, {Step: "proxy", OK: true}}
	got := checkNetwork(VM{Name: "web", Tap: "kr-web"}, lost)
	if len(got) != 3 || !strings.HasPrefix(got[0].Remedy, "kvmrun stop web") || got[1].Remedy != "" || got[2].Status != hostcheck.OK {
		t.Errorf("got %+v", got)
	}
}
