package netplumb

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTraffic writes frames to a tap's descriptor, as a guest sends, and reads what
// comes there, which counts then, beside taps that look like the plan's in all but one thing.
func TestTraffic(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	files := l.apply(p)
	other := subnetConfig()
	other.Tap = "stranger"
	l.sh(fmt.Sprintf("ip tuntap add dev stranger mode tap; ip link set dev stranger group %d alias 'not the plan'", LinkGroup))
	absent := subnetConfig()
	absent.Tap = "absent"
	all := []*Plan{p, {Config: other}, {Config: absent}}
	before, err := l.Traffic(all)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := before[p.Config.Tap]; !ok || len(before) != 1 {
		t.Fatalf("counters of %+v, want of %s alone", before, p.Config.Tap)
	}
	const sent, size = 3, 600
	frame := make([]byte, size)
	copy(frame, strings.Repeat("\xff", 6))
	for range sent {
		if _, err := files[0].Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	l.sh("ping -c 1 -W 1 -s 1000 " + p.Config.Address.String() + " >/dev/null || :") // nobody answers
	var read, packets uint64
	for buffer, n := make([]byte, 2000), 0; n < 1000; read, packets = read+uint64(n), packets+1 {
		if n, err = files[0].Read(buffer); err != nil {
			t.Fatal(err)
		}
	}
	after, err := l.Traffic(all)
	if err != nil {
		t.Fatal(err)
	}
	was, is := before[p.Config.Tap], after[p.Config.Tap]
	if packets, bytes := is.Sent.Packets-was.Sent.Packets, is.Sent.Bytes-was.Sent.Bytes; packets != sent || bytes != sent*size {
		t.Errorf("sent %d packets, %d bytes; want %d, %d", packets, bytes, sent, sent*size)
	}
	if got := (Traffic{Bytes: is.Received.Bytes - was.Received.Bytes, Packets: is.Received.Packets - was.Received.Packets}); got.Bytes != read || got.Packets != packets {
		t.Errorf("received %+v; want %d packets, %d bytes", got, packets, read)
	}
}

func TestParseTraffic(t *testing.T) {
	stats := make([]byte, 8*8)
	for i := range 8 {
		binary.NativeEndian.PutUint64(stats[8*i:], uint64(i)+1)
	}
	m := newMessage(unix.RTM_NEWLINK, 0, ifinfomsg(7))
	m.attrString(unix.IFLA_IFNAME, "kr-web")
	m.attr(unix.IFLA_STATS64, stats)
	body := m.b[unix.SizeofNlMsghdr:]
	want := TapTraffic{Received: Traffic{Bytes: 4, Packets: 2, Dropped: 8}, Sent: Traffic{Bytes: 3, Packets: 1, Dropped: 7}}
	if got, ok := parseTraffic(body); !ok || got != want {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	for n := range body {
		if got, ok := parseTraffic(body[:n]); ok && got != want {
			t.Errorf("cut to %d bytes: %+v", n, got)
		}
	}
}
