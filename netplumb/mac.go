package netplumb

import (
	"fmt"
	"net"
	"net/netip"
)

// MAC is an Ethernet address. Unlike net.HardwareAddr it can be compared and
// stands in JSON as text.
type MAC [6]byte

// MACFor derives a guest's MAC from its IPv4 address: 52:54 and the four bytes
// of the address. 0x52 has the "locally administered" bit set and the group bit
// clear. It panics if the address is not IPv4.
func MACFor(addr netip.Addr) MAC {
	a := addr.Unmap().As4()
	return MAC{0x52, 0x54, a[0], a[1], a[2], a[3]}
}

// ParseMAC reads the forms that net.ParseMAC knows. Anything but 48 bits, the
// zero address and group addresses are refused: no interface may have them.
func ParseMAC(s string) (MAC, error) {
	var mac MAC
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(mac) {
		return mac, fmt.Errorf("%w: %q is no MAC like 52:54:0a:fe:fe:02", ErrAddressInvalid, s)
	}
	copy(mac[:], hw)
	if !mac.valid() {
		return MAC{}, fmt.Errorf("%w: MAC %s is a group address or zero; the first byte must be even", ErrAddressInvalid, mac)
	}
	return mac, nil
}

func (m MAC) valid() bool { return m != MAC{} && m[0]&1 == 0 }

// HardwareAddr returns a copy in the standard library's type.
func (m MAC) HardwareAddr() net.HardwareAddr { return m[:] }

// String returns the address as 52:54:0a:fe:fe:02.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler by ParseMAC.
func (m *MAC) UnmarshalText(text []byte) error {
	mac, err := ParseMAC(string(text))
	if err == nil {
		*m = mac
	}
	return err
}
