package e2e

import (
	"fmt"
	"testing"

	"kvmrun/tests/lab"
)

// TestAddressIsAnnounced has a machine of the LAN believe that the guest's
// address is elsewhere, as it would after the address moved. The announcement is
// repeated once for whoever has missed it.
func TestAddressIsAnnounced(t *testing.T) {
	t.Parallel()
	const address, elsewhere = "192.0.2.77", "02:00:00:00:00:99"
	h := newHost(t, lab.NoGuestRoute())
	mislead := func() {
		h.LAN.MustRun(t, "ip", "neigh", "replace", address, "lladdr", elsewhere, "nud", "stale", "dev", "eth0")
	}
	mislead()
	v := h.start(t, frozen(t, "--ip", address)...)
	uplink := macOf(t, h.Host)
	isCorrected := func() {
		lab.Eventually(t, patience, func() error {
			found := ip[entry](t, h.LAN, "neigh", "show", address)
			if len(found) != 1 || found[0].Lladdr != uplink {
				return fmt.Errorf("the LAN has %s at %+v, want %s", address, found, uplink)
			}
			return nil
		})
	}
	isCorrected()
	mislead()
	isCorrected()
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}
