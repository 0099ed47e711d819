package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// tryTime is how long one server may take, and askTime all of them: a guest's
	// own patience is 5 s as a rule (resolv.conf(5)).
	tryTime = 1500 * time.Millisecond
	askTime = 4500 * time.Millisecond
	// mostServers is how many are asked, as by a resolver of the host's own.
	mostServers = 3
	// rounds is how often: a datagram may be lost.
	rounds = 2
	// readBuffer takes an answer by UDP. One that is longer is cut anyway.
	readBuffer = 4096
)

// errNobody says that this host has no server to ask.
var errNobody = errors.New("this host has no name server")

// forward asks the servers for the guest and returns the first answer, with the
// guest's own ID in it. A server that has failed gives way to the next; what it said
// counts if none does better.
func (s *Server) forward(ctx context.Context, network string, q query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	servers := s.cfg.Upstreams()
	servers = servers[:min(len(servers), mostServers)]
	failure, excuse := errNobody, []byte(nil)
	for range rounds {
		for _, server := range servers {
			answer, err := exchange(ctx, network, server, q)
			if err != nil {
				failure = err
				continue
			}
			binary.BigEndian.PutUint16(answer, q.header.ID)
			if !isFailure(answer) {
				return answer, nil
			}
			excuse = answer
		}
		if excuse != nil || ctx.Err() != nil {
			break
		}
	}
	if excuse != nil {
		return excuse, nil
	}
	return nil, failure
}

// isFailure tells whether another server may know better.
func isFailure(answer []byte) bool {
	switch dnsmessage.RCode(answer[3] & 0x0f) {
	case dnsmessage.RCodeServerFailure, dnsmessage.RCodeRefused, dnsmessage.RCodeNotImplemented:
		return true
	}
	return false
}

// exchange asks one server. Each question has an ID and a port by chance, so that
// nobody who does not see it can answer in the server's place (RFC 5452).
func exchange(ctx context.Context, network string, server netip.AddrPort, q query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing is left to be written
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()

	id := randomID()
	message := append([]byte(nil), q.message...)
	binary.BigEndian.PutUint16(message, id)
	read := readDatagram
	if network == "tcp" {
		read = readFramed
		message = frame(message)
	}
	if _, err := conn.Write(message); err != nil {
		return nil, err
	}
	for {
		answer, err := read(conn)
		if err != nil {
			return nil, err
		}
		if q.answers(answer, id) {
			return answer, nil
		}
	}
}

func randomID() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // it never fails (crypto/rand)
	return binary.BigEndian.Uint16(b[:])
}

func readDatagram(r io.Reader) ([]byte, error) {
	buffer := make([]byte, readBuffer)
	n, err := r.Read(buffer)
	return buffer[:n], err
}

// frame puts a message's length before it, as TCP wants it (RFC 1035, section
// 4.2.2).
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

func readFramed(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}
