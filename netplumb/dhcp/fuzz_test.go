package dhcp

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"kvmrun/netplumb/internal/udpframe"
)

// FuzzFrame sends frames of a hostile guest the whole way to the wire, but for
// the socket. Whatever comes in, what goes out is a well-formed frame to the
// guest's MAC or to everybody, about the guest's own address and MAC, and no
// longer than its client takes.
func FuzzFrame(f *testing.F) {
	whole := requestFrame(f)
	f.Add(whole)
	f.Add(whole[:60])
	f.Add(changed(whole, 14, 0x4f))
	for _, m := range []*dhcpv4.DHCPv4{
		message(f, dhcpv4.MessageTypeRequest, asking(own), of(server)),
		message(f, dhcpv4.MessageTypeRequest, asking(foreign)),
		message(f, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(own)),
		message(f, dhcpv4.MessageTypeDecline, asking(own)),
		message(f, dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(own)),
		message(f, dhcpv4.MessageTypeNone),
		message(f, dhcpv4.MessageTypeDiscover, dhcpv4.WithGeneric(dhcpv4.OptionRapidCommit, nil)),
		message(f, dhcpv4.MessageTypeDiscover, dhcpv4.WithGeneric(dhcpv4.OptionParameterRequestList, bytes.Repeat([]byte{12}, 255))),
		message(f, dhcpv4.MessageTypeDiscover, dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, make([]byte, 255))),
		message(f, dhcpv4.MessageTypeDiscover, dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, make([]byte, 600))),
		message(f, dhcpv4.MessageTypeDiscover, dhcpv4.WithGeneric(dhcpv4.OptionMaximumDHCPMessageSize, []byte{1})),
		message(f, dhcpv4.MessageTypeDiscover, dhcpv4.WithGeneric(dhcpv4.OptionMaximumDHCPMessageSize, []byte{0xff, 0xff})),
	} {
		frame := udpframe.Build(guestEnd, hostEnd, m.ToBytes())
		f.Add(frame)
		f.Add(frame[udpframe.EthernetHeader+udpframe.IPv4Header+udpframe.UDPHeader:]) // alone; see below
	}
	cfg := testConfig()
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := &Server{cfg: cfg, mac: hostEnd.MAC, OnEvent: func(e Event) {
			if e.Kind == "" {
				t.Errorf("an event without a kind: %+v", e)
			}
		}}
		var sent [][]byte
		s.write = func(frame []byte, to net.HardwareAddr) error {
			if !bytes.Equal(frame[:6], to) {
				t.Errorf("a frame for %x is sent to %s", frame[:6], to)
			}
			sent = append(sent, frame)
			return nil
		}
		s.handle(frame)
		if len(sent) == 0 && len(frame) < longestFrame-100 {
			// A message that is wrapped well reaches further than most frames do.
			frame = udpframe.Build(guestEnd, hostEnd, frame)
			s.handle(frame)
		}
		if len(sent) > 1 {
			t.Fatalf("%d frames for one", len(sent))
		}
		if len(sent) == 1 {
			checkReplyFrame(t, cfg, frame, sent[0])
		}
	})
}

// checkReplyFrame looks at a reply as its receiver does, and at what it is to.
func checkReplyFrame(t *testing.T, cfg Config, request, reply []byte) {
	t.Helper()
	from, asked, err := udpframe.Parse(request, serverPort)
	if err != nil || !bytes.Equal(from.MAC, cfg.MAC) {
		t.Fatalf("a reply to what is no request of the guest's (%v)", err)
	}
	toGuest, toAll := bytes.Equal(reply[:6], cfg.MAC), bytes.Equal(reply[:6], udpframe.Broadcast)
	if !toGuest && !toAll || !bytes.Equal(reply[6:12], hostEnd.MAC) {
		t.Fatalf("a reply to %x from %x", reply[:6], reply[6:12])
	}
	if len(reply) > longestFrame {
		t.Fatalf("a reply of %d bytes fits no frame", len(reply))
	}
	checkSums(t, reply)
	question, err := dhcpv4.FromBytes(asked)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := dhcpv4.FromBytes(reply[udpframe.EthernetHeader+udpframe.IPv4Header+udpframe.UDPHeader:])
	if err != nil {
		t.Fatalf("a reply that cannot be read: %v", err)
	}
	yours := answer.YourIPAddr
	switch {
	case !bytes.Equal(answer.ClientHWAddr, cfg.MAC), answer.TransactionID != question.TransactionID, answer.OpCode != dhcpv4.OpcodeBootReply:
		t.Fatalf("not a reply to this request: %v", answer)
	case !yours.IsUnspecified() && !sameIP(yours, cfg.Address.Addr()):
		t.Fatalf("the guest is told the address %s", yours)
	case len(reply)-udpframe.EthernetHeader-udpframe.IPv4Header-udpframe.UDPHeader > max(largestReply(question), bootpLength):
		t.Fatalf("a reply in a frame of %d bytes to a client that takes %d", len(reply), largestReply(question))
	}
}

// checkSums adds up what a receiver does, and holds the lengths against the
// frame's.
func checkSums(t *testing.T, frame []byte) {
	t.Helper()
	packet := frame[udpframe.EthernetHeader:]
	if got := int(binary.BigEndian.Uint16(packet[2:])); got != len(packet) {
		t.Fatalf("an IPv4 packet of %d bytes says %d", len(packet), got)
	}
	if sum := udpframe.OnesSum(0, packet[:udpframe.IPv4Header]); sum != 0xffff {
		t.Fatalf("the IPv4 header sums up to %#x", sum)
	}
	datagram := packet[udpframe.IPv4Header:]
	if got := int(binary.BigEndian.Uint16(datagram[4:])); got != len(datagram) {
		t.Fatalf("a datagram of %d bytes says %d", len(datagram), got)
	}
	pseudo := binary.BigEndian.AppendUint16(append(bytes.Clone(packet[12:20]), 0, udpframe.ProtocolUDP), uint16(len(datagram)))
	if sum := udpframe.OnesSum(uint32(udpframe.OnesSum(0, pseudo)), datagram); sum != 0xffff {
		t.Fatalf("the datagram sums up to %#x", sum)
	}
}
