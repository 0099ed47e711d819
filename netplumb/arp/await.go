package arp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How often Await asks: often while the guest is about to take its address,
// seldom after a while, so that a guest which takes minutes is not nagged.
const (
	soonInterval = 25 * time.Millisecond
	soonRequests = 40
	lateInterval = 500 * time.Millisecond
)

// Await returns as soon as somebody behind ifname answers ARP for guest, or
// says by any other ARP packet that it has that address: when the guest has
// taken its address. An ARP probe, by which a guest makes sure that nobody
// else has it, is not enough.
//
// mac is the guest's; nil takes anybody's word. from is the address that the
// requests name as the asker's, which should be one the interface has. The
// interface may be down or without a guest meanwhile; Await ends when ctx does,
// then with its cause, or when the interface is gone.
func Await(ctx context.Context, ifname string, mac net.HardwareAddr, guest, from netip.Addr) error {
	if err := errors.Join(usable(guest), usable(from)); err != nil {
		return fmt.Errorf("await a guest on %s: %w", ifname, err)
	}
	s, err := open(ctx, ifname, passFrom(guest))
	if err != nil {
		return fmt.Errorf("await %s: %w", guest, err)
	}
	defer s.close()
	if err := await(s, mac, question(s.mac, from, guest)); err != nil {
		return fmt.Errorf("await %s on %s: %w", guest, ifname, cause(ctx, err))
	}
	return nil
}

func await(s *socket, mac net.HardwareAddr, request Packet) error {
	buffer := make([]byte, frameLength)
	pause := soonInterval
	for sent := 1; ; sent++ {
		if err := s.send(request); err != nil && !passing(err) {
			return err
		}
		if sent > soonRequests {
			pause = min(pause*3/2, lateInterval)
		}
		heard, err := hear(s, mac, buffer, pause)
		if heard || err != nil {
			return err
		}
	}
}

// hear waits for a packet from mac. The socket's filter has seen to it that
// whatever arrives has the guest's address as the sender's.
func hear(s *socket, mac net.HardwareAddr, buffer []byte, wait time.Duration) (bool, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return false, err
	}
	for {
		p, err := s.receive(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false, nil
		case err != nil && !passing(err):
			return false, err
		case err == nil && (mac == nil || bytes.Equal(p.SenderMAC, mac)):
			return true, nil
		}
	}
}

// passing tells errors that end by themselves: an interface that is down, a
// queue that nobody empties yet. One that is gone is ENXIO.
func passing(err error) bool {
	return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENOBUFS)
}
