package dhcp

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"kvmrun/netplumb/internal/udpframe"
)

var (
	hostEnd  = udpframe.Endpoint{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Addr: netip.MustParseAddr("10.254.254.1"), Port: serverPort}
	guestEnd = udpframe.Endpoint{MAC: guestMAC, Addr: netip.MustParseAddr("10.254.254.7"), Port: clientPort}
)

// requestFrame is a frame as a guest sends it.
func requestFrame(t testing.TB) []byte {
	t.Helper()
	return frameFrom(t, guestMAC, message(t, dhcpv4.MessageTypeDiscover))
}

func changed(frame []byte, offset int, value byte) []byte {
	frame = bytes.Clone(frame)
	frame[offset] = value
	return frame
}
