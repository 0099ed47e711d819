package udpframe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
)

var (
	guestMAC = net.HardwareAddr{0x52, 0x54, 0x0a, 0xfe, 0xfe, 0x07}
	hostEnd  = Endpoint{net.HardwareAddr{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("10.254.254.1"), 67}
	guestEnd = Endpoint{guestMAC, netip.MustParseAddr("10.254.254.7"), 68}
)

// TestBuild compares with a frame whose checksums were added up by hand:
// the header's words make 0x29734, the pseudo-header's and datagram's 0x2d714.
func TestBuild(t *testing.T) {
	got := Build(hostEnd, guestEnd, []byte("abc"))
	want, err := hex.DecodeString(strings.ReplaceAll("52540afefe07 020000000001 0800"+
		"45 00 001f 0000 0000 40 11 68c9 0afefe01 0afefe07"+
		"0043 0044 000b 28e9 616263", " ", ""))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n got %x\nwant %x", err, got, want)
	}
}

// TestChecksumsAddUp checks frames as their receivers do: the sum with the
// checksum in it is all ones.
func TestChecksumsAddUp(t *testing.T) {
	for length := range 400 {
		message := bytes.Repeat([]byte{0xff, 0x35, byte(length)}, length)[:length]
		frame := Build(hostEnd, guestEnd, message)
		packet := frame[EthernetHeader:]
		if sum := OnesSum(0, packet[:IPv4Header]); sum != 0xffff {
			t.Fatalf("%d bytes: IPv4 header sums up to %#x", length, sum)
		}
		pseudo := binary.BigEndian.AppendUint16(append(bytes.Clone(packet[12:20]), 0, ProtocolUDP), uint16(UDPHeader+length))
		if sum := OnesSum(uint32(OnesSum(0, pseudo)), packet[IPv4Header:]); sum != 0xffff {
			t.Fatalf("%d bytes: UDP sums up to %#x", length, sum)
		}
	}
}

func TestUDPChecksumIsNeverNone(t *testing.T) {
	// Eight bytes of datagram and a protocol of 17: 0xffe6 makes the sum all
	// ones, the checksum 0.
	datagram := []byte{0xff, 0xde, 0, 0, 0, 8, 0, 0}
	if got := udpChecksum(make([]byte, 8), datagram); got != 0xffff {
		t.Errorf("checksum %#x, want 0xffff for 0", got)
	}
}

func TestParse(t *testing.T) {
	want := bytes.Repeat([]byte("what a guest says. "), 12)
	whole := Build(Endpoint{guestMAC, guestEnd.Addr, 68}, Endpoint{Broadcast, netip.MustParseAddr("255.255.255.255"), 67}, want)
	withOptions := append(bytes.Clone(whole[:34]), append([]byte{1, 1, 1, 1}, whole[34:]...)...)
	withOptions[14] = 0x46
	binary.BigEndian.PutUint16(withOptions[16:], uint16(len(withOptions)-14))
	noChecksum := bytes.Clone(whole)
	noChecksum[40], noChecksum[41] = 0, 0

	for name, frame := range map[string][]byte{
		"as built":          whole,
		"padded":            append(bytes.Clone(whole), 0, 0, 0, 0),
		"with IP options":   withOptions,
		"a partial sum":     noChecksum,
		"don't fragment":    changed(whole, 20, 0x40),
		"from another port": changed(whole, 35, 99),
	} {
		from, got, err := Parse(frame, 67)
		if err != nil || !bytes.Equal(from.MAC, guestMAC) || from.Addr != guestEnd.Addr || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %x, %v", name, from, got, err)
		}
	}
	for name, frame := range map[string][]byte{
		"nothing":             nil,
		"an Ethernet header":  whole[:14],
		"half":                whole[:100],
		"a VLAN tag":          changed(whole, 12, 0x81),
		"IPv6":                changed(whole, 14, 0x65),
		"a short header":      changed(whole, 14, 0x44),
		"a header too long":   changed(whole[:60], 14, 0x4f),
		"a fragment":          changed(whole, 20, 0x20),
		"a later fragment":    changed(whole, 21, 1),
		"TCP":                 changed(whole, 23, 6),
		"another port":        changed(whole, 37, 68),
		"a short UDP length":  changed(changed(whole, 38, 0), 39, 7),
		"a long UDP length":   changed(whole, 38, 0xff),
		"a long IP length":    changed(whole, 16, 0xff),
		"a length below zero": changed(changed(whole, 16, 0), 17, 19),
	} {
		if _, got, err := Parse(frame, 67); err == nil {
			t.Errorf("%s: taken for %x", name, got)
		}
	}
}

func changed(frame []byte, offset int, value byte) []byte {
	frame = bytes.Clone(frame)
	frame[offset] = value
	return frame
}
