package netplumb

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lanNeighbour moves lan0 into a namespace of its own, where it becomes a
// machine of the LAN, and returns a function that runs commands there.
func (l *lab) lanNeighbour() func(script string) string {
	l.Helper()
	// A shell that waits for its standard input keeps the namespace alive.
	keeper := exec.Command("sh", "-c", "echo ready; read x")
	keeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, err := keeper.StdinPipe()
	if err != nil {
		l.Fatal(err)
	}
	out, err := keeper.StdoutPipe()
	if err != nil {
		l.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		_ = in.Close()
		_ = keeper.Wait()
	})
	if _, err := out.Read(make([]byte, 16)); err != nil {
		l.Fatal(err)
	}
	pid := strconv.Itoa(keeper.Process.Pid)
	l.sh("ip link set lan0 netns " + pid)
	enter := func(script string) string {
		l.Helper()
		return l.sh("nsenter --net=/proc/" + pid + "/ns/net sh -euc '" + script + "'")
	}
	enter("ip link set lo up; ip link set lan0 up; ip address add 192.168.1.20/24 dev lan0; ip route add 10.254.254.0/24 via 192.168.1.10")
	return enter
}

// guestOnTap is the least that a guest does: it answers ARP for its address and
// pings, and remembers what it heard.
type guestOnTap struct {
	f     *os.File
	c     Config
	heard chan []byte
}

func startGuest(l *lab, f *os.File, c Config) *guestOnTap {
	l.Helper()
	// A descriptor of its own in non-blocking mode can be closed under a
	// reader; Fd would make it blocking again.
	fd, err := unix.Dup(int(f.Fd()))
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		l.Fatal(err)
	}
	g := &guestOnTap{f: os.NewFile(uintptr(fd), "guest"), c: c, heard: make(chan []byte, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.run()
	}()
	l.Cleanup(func() {
		_ = g.f.Close()
		<-done
	})
	return g
}

func (g *guestOnTap) run() {
	buf := make([]byte, 2048)
	for {
		n, err := g.f.Read(buf)
		if err != nil {
			close(g.heard)
			return
		}
		frame := bytes.Clone(buf[:n])
		g.answer(frame)
		select {
		case g.heard <- frame:
		default:
		}
	}
}

// answer turns a request into its reply and sends it back.
func (g *guestOnTap) answer(frame []byte) {
	f := bytes.Clone(frame)
	addr := g.c.Address.AsSlice()
	switch {
	case isARP(f, 1) && bytes.Equal(f[38:42], addr):
		f[21] = 2
		copy(f[32:42], f[22:32])
		copy(f[22:28], g.c.MAC[:])
		copy(f[28:32], addr)
	case isPing(f, 8) && bytes.Equal(f[30:34], addr):
		f[34] = 0
		sum := binary.BigEndian.Uint16(f[36:]) + 0x0800
		if sum < 0x0800 {
			sum++
		}
		binary.BigEndian.PutUint16(f[36:], sum)
		src := bytes.Clone(f[26:30])
		copy(f[26:30], f[30:34])
		copy(f[30:34], src)
	default:
		return
	}
	copy(f[0:6], f[6:12])
	copy(f[6:12], g.c.MAC[:])
	_, _ = g.f.Write(f)
}

func isARP(f []byte, op byte) bool {
	return len(f) >= 42 && f[12] == 8 && f[13] == 6 && f[21] == op
}

func isPing(f []byte, typ byte) bool {
	return len(f) >= 42 && f[12] == 8 && f[13] == 0 && f[23] == 1 && f[14] == 0x45 && f[34] == typ
}

// ask sends an ARP request for an address.
func (g *guestOnTap) ask(addr netip.Addr) {
	f := make([]byte, 42)
	copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(f[6:], g.c.MAC[:])
	copy(f[12:], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1})
	copy(f[22:], g.c.MAC[:])
	copy(f[28:], g.c.Address.AsSlice())
	copy(f[38:], addr.AsSlice())
	_, _ = g.f.Write(f)
}

// hears waits for a frame and fails the test without one.
func (g *guestOnTap) hears(l *lab, what string, match func([]byte) bool) {
	l.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case f := <-g.heard:
			if match(f) {
				return
			}
		case <-deadline:
			l.Errorf("the guest never heard %s", what)
			return
		}
	}
}

// TestPacketsPass sends real packets: a machine of the LAN pings the guest, the
// guest finds its gateway and its neighbours by ARP.
func TestPacketsPass(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, c := range map[string]Config{"subnet": subnetConfig(), "lan": lanConfig()} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0")
			lan := l.lanNeighbour()
			before := l.sh("ip address show eth0; ip route show table all")
			p := l.plan(c)
			files := l.apply(p)
			g := startGuest(l, files[0], c)

			lan("ping -c 1 -W 5 " + c.Address.String())
			l.sh("ping -c 1 -W 5 " + c.Address.String())
			for _, addr := range []string{c.Gateway.String(), "192.168.1.10", "192.168.1.20", "8.8.8.8"} {
				a := netip.MustParseAddr(addr)
				g.ask(a)
				g.hears(l, "who has "+addr, func(f []byte) bool { return isARP(f, 2) && bytes.Equal(f[28:32], a.AsSlice()) })
			}
			if p.LAN != nil {
				// The LAN sees the host's MAC at the guest's address.
				host := strings.TrimSpace(l.sh("ip -o link show eth0 | sed 's/.*ether \\([^ ]*\\).*/\\1/'"))
				if neigh := lan("ip neigh show " + c.Address.String()); !strings.Contains(neigh, host) {
					t.Errorf("the LAN has %q, not the host's %s", neigh, host)
				}
				// The host's own traffic is as it was.
				l.sh("ping -c 1 -W 5 192.168.1.20")
				if get := l.sh("ip route get 192.168.1.20"); !strings.Contains(get, "dev eth0 src 192.168.1.10") {
					t.Errorf("the host reaches its LAN by %s", get)
				}
			}
			_ = g.f.Close()
			closeAll(files)
			l.undo(p)
			if after := l.sh("ip address show eth0; ip route show table all"); after != before {
				t.Errorf("eth0 and routes were\n%s\nand are\n%s", before, after)
			}
		})
	}
}

// TestSpoofedSourceIsDropped has a guest send with another's address.
func TestSpoofedSourceIsDropped(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	c := lanConfig()
	files := l.apply(l.plan(c))
	liar := c
	liar.Address = netip.MustParseAddr("192.168.1.51")
	g := startGuest(l, files[0], liar)
	g.ask(netip.MustParseAddr("192.168.1.10"))
	honest := &guestOnTap{f: g.f, c: c, heard: g.heard}
	honest.ask(netip.MustParseAddr("192.168.1.10"))
	// Answers come in order: the first must be the honest one's.
	g.hears(l, "an answer", func(f []byte) bool {
		if isARP(f, 2) && !bytes.Equal(f[38:42], c.Address.AsSlice()) {
			t.Errorf("the host answers %v, who is not the guest", f[38:42])
		}
		return isARP(f, 2)
	})
}

// TestHostIsSilent lets a guest listen for a while after its tap came up: the
// host must not speak to it of its own accord, neither IPv6 nor anything else.
func TestHostIsSilent(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	c := subnetConfig()
	files := l.apply(l.plan(c))
	g := startGuest(l, files[0], c)
	// Router solicitations and MLD reports would come within a second or two.
	silence := time.After(3 * time.Second)
	for {
		select {
		case f := <-g.heard:
			t.Errorf("the host said % x", f)
		case <-silence:
			return
		}
	}
}
