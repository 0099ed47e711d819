package e2e

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"kvmrun/tests/lab"
)

// nameServer answers all questions of a world's port 53, on all its addresses, by one
// address, until the test ends. It returns how often it was asked; a connection
// counts, too.
func nameServer(t *testing.T, w *lab.World, answer [4]byte) *atomic.Int32 {
	t.Helper()
	var datagrams net.PacketConn
	err := w.InNet(func() (err error) {
		datagrams, err = net.ListenPacket("udp4", "0.0.0.0:53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := w.Listen("tcp4", "0.0.0.0:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = datagrams.Close(), listener.Close() })
	asked := new(atomic.Int32)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			_ = conn.Close()
		}
	}()
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := datagrams.ReadFrom(buffer)
			if err != nil {
				return
			}
			asked.Add(1)
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: answer},
				}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = datagrams.WriteTo(packed, from)
			}
		}
	}()
	return asked
}

// TestGuestsFindEachOther has two guests look each other up, and the world, while
// another name server has the host's port 53; then with a new supervisor.
func TestGuestsFindEachOther(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	hosts := nameServer(t, h.Host, [4]byte{203, 0, 113, 66})
	nameServer(t, h.LAN, [4]byte{203, 0, 113, 7})
	h.before = h.Host.Snapshot(t)
	web := h.startNet(t, append(boot(t), "--name", "web", "--ip", "192.0.2.50")...)
	db := h.startNet(t, append(boot(t), "--name", "db", "--hostname", "store", "--dhcp", "dnsmasq")...)

	web.guestHas(t, "cat /etc/resolv.conf", "nameserver "+lab.HostAddress+"\n")
	db.guestHas(t, "cat /etc/resolv.conf", "nameserver 10.254.254.1\n")
	web.guestHas(t, "nslookup -type=a db.kvmrun.internal", "Address: "+db.IP)
	web.guestHas(t, "nslookup -type=a store.kvmrun.internal", "Address: "+db.IP)
	db.guestHas(t, "nslookup -type=a web.kvmrun.internal", "Address: "+web.IP)
	db.guestHas(t, "nslookup -type=a web.", "Address: "+web.IP)
	db.guestHas(t, "nslookup "+web.IP, "web.kvmrun.internal")
	db.guestHas(t, "nslookup -type=a example.org", "Address: 203.0.113.7")
	db.guestHas(t, "nslookup -type=a nobody.kvmrun.internal", "NXDOMAIN")
	const byTCP = `printf '\0\045\0\1\1\0\0\1\0\0\0\0\0\0\3web\6kvmrun\10internal\0\0\1\0\1' | timeout 2 nc 10.254.254.1 53 | tail -c 4 | hexdump -C`
	db.guestHas(t, byTCP, "c0 00 02 32")

	h.killSupervisor(t, "db")
	h.must(t, "adopt", "db")
	db.guestHas(t, "nslookup -type=a web.kvmrun.internal", "Address: "+web.IP)
	if n := hosts.Load(); n != 0 {
		t.Errorf("the host's own name server was asked %d times", n)
	}
	h.must(t, "stop", "web")
	db.guestHas(t, "nslookup -type=a web.kvmrun.internal", "NXDOMAIN")
	h.must(t, "stop", "db")
	h.isAsBefore(t)
}

// TestNamesAreOff leaves the tap without the program that leads DNS to a server.
func TestNamesAreOff(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, frozen(t, "--name", "off", "--dns", "off")...)
	h.start(t, frozen(t, "--name", "on")...)
	if filters := h.sh(t, "tc filter show dev kr-on ingress"); !strings.Contains(filters, "kvmrun-dns") {
		t.Errorf("the tap of a guest that is to find names has the filters %q", filters)
	}
	if filters := h.sh(t, "tc filter show dev kr-off ingress"); filters != "" {
		t.Errorf("with --dns off there are the filters %q", filters)
	}
	if told := h.must(t, "start", "--dry-run", "--dns", "off", "--kernel", lab.Guest(t).Kernel); strings.Contains(told, "dns-server") {
		t.Errorf("the script with --dns off tells of name servers:\n%s", told)
	}
	if told := h.must(t, "start", "--dry-run", "--kernel", lab.Guest(t).Kernel); !strings.Contains(told, "dns-server,"+lab.LANAddress) {
		t.Errorf("the script does not tell of the host's name server:\n%s", told)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}
