package explain

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/net/icmp"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb/arp"
)

// sighting is a packet of ours, an answer to it, or an ARP packet, as it was
// seen to pass.
type sighting struct {
	dev   string // the interface; "" for this host's own socket
	out   bool   // it went out there
	tag   tag
	reply bool
	arp   *arp.Packet // the tag is of no meaning then
	when  time.Time
}

// maxSeen bounds what is remembered: somebody may flood the LAN by ARP.
const maxSeen = 4096

// watch sees what passes by some interfaces.
type watch struct {
	conns []interface{ Close() error }
	done  sync.WaitGroup

	mu   sync.Mutex
	seen []sighting
	news chan struct{} // closed and replaced when something is seen
}

// openWatch begins to watch interfaces and what comes in to this host itself.
func openWatch(devices ...device) (*watch, error) {
	w := &watch{news: make(chan struct{})}
	for _, d := range devices {
		for _, out := range []bool{false, true} {
			conn, err := listen(d, out)
			if err != nil {
				w.close()
				return nil, fmt.Errorf("open a packet socket on %s (needs CAP_NET_RAW): %w", d.name, err)
			}
			w.follow(conn, func(frame []byte) (sighting, bool) { return parseFrame(d.name, out, frame) })
		}
	}
	own, err := icmp.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		w.close()
		return nil, fmt.Errorf("open a socket for ICMP (needs CAP_NET_RAW): %w", err)
	}
	// This socket leaves the IPv4 header out.
	w.follow(own, func(message []byte) (sighting, bool) {
		header := []byte{0x45, 9: protocolICMP, 19: 0}
		t, reply, ok := parseEcho(append(header, message...))
		return sighting{tag: t, reply: reply}, ok
	})
	return w, nil
}

// listen opens a socket for one direction: by its MAC alone a frame does not
// tell for sure which way it went.
func listen(d device, out bool) (*packet.Conn, error) {
	program, err := bpf.Assemble(passing(out))
	if err != nil {
		return nil, err
	}
	return packet.Listen(&net.Interface{Index: d.index}, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: program})
}

// frameLength is as much of a frame as is looked at, in bytes.
const frameLength = 128

// passing lets through ARP and ICMP that goes out, or that comes in for this
// host: what is another's the kernel does not take, either.
func passing(out bool) []bpf.Instruction {
	direction := bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: unix.PACKET_MULTICAST, SkipTrue: 6}
	if out {
		direction = bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 6}
	}
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		direction,
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeARP, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeIPv4, SkipTrue: 3},
		bpf.LoadAbsolute{Off: ethernetHeader + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolICMP, SkipTrue: 1},
		bpf.RetConstant{Val: frameLength},
		bpf.RetConstant{Val: 0},
	}
}

// parseFrame reads an Ethernet frame, which it keeps nothing of.
func parseFrame(dev string, out bool, frame []byte) (sighting, bool) {
	s := sighting{dev: dev, out: out}
	if len(frame) < ethernetHeader {
		return s, false
	}
	if binary.BigEndian.Uint16(frame[12:]) == etherTypeARP {
		p, err := arp.Parse(append([]byte(nil), frame...))
		s.arp = &p
		return s, err == nil
	}
	var ok bool
	s.tag, s.reply, ok = parseEcho(frame[ethernetHeader:])
	return s, ok
}

// follow remembers what a socket hears until it is closed.
func (w *watch) follow(conn net.PacketConn, parse func([]byte) (sighting, bool)) {
	w.conns = append(w.conns, conn)
	w.done.Go(func() {
		buffer := make([]byte, frameLength) // the rest of what is longer is lost
		for {
			n, _, err := conn.ReadFrom(buffer)
			if err != nil {
				return // it is closed, or the interface is gone
			}
			if s, ok := parse(buffer[:n]); ok {
				s.when = time.Now()
				w.add(s)
			}
		}
	})
}

func (w *watch) add(s sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == maxSeen {
		return
	}
	w.seen = append(w.seen, s)
	close(w.news)
	w.news = make(chan struct{})
}

// until waits until what has been seen is enough, for as long as patience.
func (w *watch) until(ctx context.Context, patience time.Duration, enough func(seen []sighting) bool) bool {
	over := time.After(patience)
	for {
		w.mu.Lock()
		met, news := enough(w.seen), w.news
		w.mu.Unlock()
		if met {
			return true
		}
		select {
		case <-news:
		case <-over:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// all is what has been seen so far.
func (w *watch) all() []sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[:len(w.seen):len(w.seen)]
}

func (w *watch) close() {
	for _, c := range w.conns {
		_ = c.Close() // nothing was written
	}
	w.done.Wait()
}
