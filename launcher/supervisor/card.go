package supervisor

import (
	"context"
	"fmt"
	"strings"

	"kvmrun/launcher"
	"kvmrun/launcher/qemu"
	"kvmrun/netplumb"
	"kvmrun/qmp"
)

// checkCard makes sure that the guest has the network card that it was to
// get. Since QEMU 9.0 `-net nic,model=M` with an M that it does not have is a
// mere warning (net/net.c, net_check_clients), and the guest runs without.
func (s *supervisor) checkCard(ctx context.Context) error {
	if s.spec.Network.Form != qemu.FormNet {
		return nil // -device is refused by QEMU itself
	}
	var clients string
	args := map[string]string{"command-line": "info network"}
	if err := s.monitor.Execute(ctx, "human-monitor-command", args, &clients); err != nil {
		if qmp.HasClass(err, qmp.ClassCommandNotFound) {
			return nil // a QEMU that was built without the human monitor
		}
		return err
	}
	if hasCard(clients, s.spec.Network.MAC) {
		return nil
	}
	return &launcher.Error{Kind: launcher.KindQEMU,
		Err:    fmt.Errorf("QEMU has no network card %s for the machine %s", s.spec.Network.Model, s.spec.Machine),
		Advice: fmt.Sprintf("choose another with --model; %s -device help lists QEMU's", s.spec.QEMU)}
}

// hasCard looks for a card in what QEMU says to "info network".
func hasCard(clients string, mac netplumb.MAC) bool {
	return strings.Contains(strings.ToLower(clients), "macaddr="+mac.String())
}
