package netplumb

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// soon is how long a watch may take to tell of a change on a busy machine.
const soon = 10 * time.Second

// watch watches a plan until the test ends.
func (l *lab) watch(p *Plan) <-chan struct{} {
	l.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l.Cleanup(cancel)
	changes, err := p.Watch(ctx, l.Host)
	if err != nil {
		l.Fatal(err)
	}
	return changes
}

func (l *lab) isTold(changes <-chan struct{}, command string) {
	l.Helper()
	select {
	case <-changes:
	case <-time.After(soon):
		l.Errorf("the watch does not tell of: %s", command)
	}
}

// settle waits until the kernel has told all that it has to tell of a command,
// and takes it off the channel. Carriers are told of late; whoever watches for
// silence makes no command that touches one.
func (l *lab) settle(changes <-chan struct{}) {
	for {
		select {
		case <-changes:
		case <-time.After(5 * settleTime):
			return
		}
	}
}

// TestWatchTells changes one thing at a time that a plan has made.
func TestWatchTells(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	l.apply(p)
	changes := l.watch(p)
	for _, command := range []string{
		"ip route delete 10.254.254.2",
		"ip route add 10.254.254.2 dev lan0",
		"ip route add 10.254.254.2 dev lan0 table 77",
		"ip neigh replace 10.254.254.2 lladdr 02:00:00:00:00:01 dev kvm-web",
		"ip neigh delete 10.254.254.2 dev kvm-web",
		"ip address delete 10.254.254.1/32 dev kvm-web",
		"ip address delete 10.254.254.1/32 dev eth0",
		"ip address add 192.168.1.11/24 dev eth0",
		"sysctl -q -w net.ipv4.conf.kvm-web.forwarding=0",
		"sysctl -q -w net.ipv4.conf.kvm-web.proxy_arp=0",
		"sysctl -q -w net.ipv4.conf.kvm-web.rp_filter=0",
		"sysctl -q -w net.ipv4.conf.eth0.forwarding=0",
		"sysctl -q -w net.ipv4.ip_forward=1",
		"ip link set kvm-web mtu 1400",
		"ip link set kvm-web down",
		"ip link set eth0 address 02:00:00:00:00:09",
		"ip link set lan0 down",
		"ip link set lan0 up",
		"ip link set eth0 down",
		"ip link set eth0 name up0",
		"ip link set up0 name eth0",
		"ip link delete eth0",
		"ip link add eth0 type veth peer name lan0",
		"ip link delete eth0",
		"ip link add other type veth peer name lan0; ip link set other name eth0",
		"ip link delete kvm-web",
	} {
		l.settle(changes)
		l.sh(command)
		l.isTold(changes, command)
	}
}

// TestWatchIsNotWoken does to others what would concern this guest if it were
// done to it, and makes the filter drop each.
func TestWatchIsNotWoken(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p, q := l.plan(subnetConfig()), l.plan(guest(subnetConfig(), "10.254.254.3", "kvm-db"))
	l.apply(p)
	l.apply(q) // holds what they share, which so does not change
	l.sh("ip link add eth01 type veth peer name eth00; ip link set eth01 up; ip link set eth00 up")
	changes := l.watch(p)
	l.settle(changes)
	for _, command := range []string{
		"ip route delete 10.254.254.3; ip route add 10.254.254.3 dev kvm-db",
		"ip route add 10.254.254.0/25 dev eth0; ip route add 10.254.254.2/31 dev eth0",
		"ip -6 route add 2001:db8::/64 dev lo",
		"ip neigh replace 10.254.254.3 lladdr 02:00:00:00:00:01 dev kvm-db",
		"ip neigh add 192.168.1.77 lladdr 02:00:00:00:00:01 dev eth0",
		"ip neigh add proxy 10.254.254.9 dev eth0",
		"ip address delete 10.254.254.1/32 dev kvm-db; ip address add 10.254.254.1/32 dev eth01",
		"sysctl -q -w net.ipv4.conf.kvm-db.rp_filter=0 net.ipv4.conf.eth01.forwarding=1 net.ipv4.conf.all.rp_filter=2",
		"ip link set kvm-db mtu 1400; ip link set kvm-db down; ip link set eth01 down; ip link set eth01 name eth; ip link set eth name eth0.1",
		"ip link add br0 type bridge; ip link set eth00 master br0; ip link delete br0",
		"ip tuntap add dev kvm-web2 mode tap; ip link set kvm-web2 up; ip link delete kvm-web2",
	} {
		l.sh(command)
		select {
		case <-changes:
			t.Errorf("the watch is woken by: %s", command)
			l.settle(changes)
		case <-time.After(3 * settleTime):
		}
	}
	l.sh("ip route delete 10.254.254.2")
	l.isTold(changes, "what concerns it")
}

// TestManyChangesAreToldOnce lets a watch's reader look up at the end of many.
func TestManyChangesAreToldOnce(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	l.apply(p)
	changes := l.watch(p)
	l.sh("for n in $(seq 50); do ip route replace 10.254.254.2 dev kvm-web metric $n; done")
	l.isTold(changes, "many routes")
	told := 1
	for quiet := false; !quiet; {
		select {
		case <-changes:
			told++
		case <-time.After(5 * settleTime):
			quiet = true
		}
	}
	if told > 25 {
		t.Errorf("told %d times of 50 changes", told)
	}
}

// TestOverflowIsTold has more messages wait than the socket can hold: that they
// are lost is itself told.
func TestOverflowIsTold(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	l.apply(p)
	socket, err := watched{address: p.Config.Address}.open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	fd := int(socket.Fd()) // which makes it block
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	l.sh("for n in $(seq 50); do ip route replace 10.254.254.2 dev kvm-web metric $n; done")
	if _, _, err := unix.Recvfrom(fd, make([]byte, 1), unix.MSG_PEEK); !errors.Is(err, unix.ENOBUFS) {
		t.Fatalf("the queue has not overflowed: %v", err)
	}
	l.sh("for n in $(seq 50); do ip route replace 10.254.254.2 dev kvm-web tos 4 metric $n; done")
	if !hears(fd, make([]byte, 1)) {
		t.Error("the overflow is not heard")
	}
}

// TestWatchEnds with its context, whatever it waits for.
func TestWatchEnds(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	l.apply(p)
	ctx, cancel := context.WithCancel(context.Background())
	changes, err := p.Watch(ctx, l.Host)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case _, open := <-changes:
		if open {
			t.Error("told of a change that there was not")
		}
	case <-time.After(soon):
		t.Error("the watch has not ended")
	}
}

// TestFilterPassesSeveralMessages sends by a socket pair what the kernel never
// sent so far: two messages in one datagram, of which the first is a stranger's.
func TestFilterPassesSeveralMessages(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) }()
	w := watched{address: subnetConfig().Address, tap: 7, uplink: 9, uplinkName: "eth0"}
	if err := attach(fds[1], w.filter()); err != nil {
		t.Fatal(err)
	}
	message := func(index uint32) string {
		body := make([]byte, unix.SizeofIfAddrmsg)
		body[0] = unix.AF_INET
		binary.NativeEndian.PutUint32(body[4:], index)
		return string(answer{typ: unix.RTM_NEWADDR, body: body, size: uint32(unix.SizeofNlMsghdr + len(body))}.bytes())
	}
	for _, c := range []struct {
		datagram string
		want     bool
	}{
		{message(7), true}, {message(9), true}, {message(8), false},
		{message(8) + message(7), true}, {strings.Repeat(message(8), 20), true},
	} {
		// A datagram that the filter drops is refused to a sender on this host.
		if err := unix.Send(fds[0], []byte(c.datagram), 0); err != nil && c.want {
			t.Error(err)
		}
		if got := hears(fds[1], make([]byte, 1)); got != c.want {
			t.Errorf("%d bytes: passed %t, want %t", len(c.datagram), got, c.want)
		}
	}
}

// TestFilterAssembles with the longest of names.
func TestFilterAssembles(t *testing.T) {
	for _, name := range []string{"", "a", "eth0", "enp129s0f1npx_y"} {
		if _, err := bpf.Assemble(watched{address: subnetConfig().Address, uplinkName: name}.filter()); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
