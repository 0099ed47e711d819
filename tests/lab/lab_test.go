package lab

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { Main(m) }

func TestHostAndLANReachEachOther(t *testing.T) {
	l := New(t)
	l.Host.WaitPing(t, LANAddress, 5*time.Second)
	l.LAN.WaitPing(t, HostAddress, 5*time.Second)
	listener, err := l.Host.Listen("tcp", HostAddress+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	l.LAN.WaitTCP(t, HostAddress+":80", 5*time.Second)
	if err := l.LAN.Ping("192.0.2.99", 200*time.Millisecond); err == nil {
		t.Error("an address that nobody has answers")
	}
}

func TestPeersAreNeighboursOfAll(t *testing.T) {
	l := New(t, LANPeers(2))
	if len(l.Peers) != 2 {
		t.Fatalf("%d peers, want 2", len(l.Peers))
	}
	for _, w := range []*World{l.Host, l.LAN, l.Peers[0]} {
		w.WaitPing(t, "192.0.2.3", 5*time.Second)
	}
}

func TestRoutesAreAsAskedFor(t *testing.T) {
	for _, test := range []struct {
		name          string
		options       []Option
		uplink, guest bool
	}{
		{"usual", nil, true, true},
		{"bare", []Option{NoDefaultRoute(), NoGuestRoute()}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := New(t, test.options...)
			if got := l.Host.MustRun(t, "ip", "route", "show", "default"); (got != "") != test.uplink {
				t.Errorf("the host's default route is %q", got)
			}
			if got := l.LAN.MustRun(t, "ip", "route", "show", GuestSubnet); (got != "") != test.guest {
				t.Errorf("the LAN's route to guests is %q", got)
			}
		})
	}
}

func TestWorldIsPrivate(t *testing.T) {
	l := New(t, ResolvConf("nameserver 192.0.2.53\n"))
	mark := "lab-test-" + t.Name()
	l.Host.MustRun(t, "sh", "-c", "touch /run/"+mark+" /var/lib/kvmrun/"+mark+" && ip netns add "+mark)
	for _, path := range []string{"/run/" + mark, "/var/lib/kvmrun/" + mark, "/run/netns/" + mark} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s of the world shows on the machine: %v", path, err)
		}
		if _, err := os.Lstat(l.Host.File(path)); err != nil {
			t.Errorf("it is not in the world either: %v", err)
		}
	}
	for command, want := range map[string]string{
		"hostname":             "host\n",
		"cat /etc/resolv.conf": "nameserver 192.0.2.53\n",
		"ls /sys/class/net":    "eth0\nlo\n",
	} {
		got := l.Host.MustRun(t, "sh", "-c", command)
		if got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

func TestRunReportsStatusAndOutput(t *testing.T) {
	w := New(t).Host
	r := w.RunWith(t, Run{Stdin: strings.NewReader("in"), Env: []string{"A=1"}},
		"sh", "-c", "cat; echo $A >&2; exit 7")
	if r.Stdout != "in" || r.Stderr != "1\n" || r.ExitCode != 7 {
		t.Errorf("got %s", r)
	}
	if r := w.Run(t, "sh", "-c", "kill -9 $$"); r.ExitCode != -1 {
		t.Errorf("a killed command's status is %d, want -1", r.ExitCode)
	}
}

func TestProcessInTheBackground(t *testing.T) {
	w := New(t).Host
	p := w.Start(t, "sh", "-c", "trap 'echo bye; exit 3' TERM; echo hello $$; read line; echo $line; while :; do read line || sleep 0.01; done")
	p.Stdout.WaitFor(t, `hello \d+`, 5*time.Second)
	if _, err := p.Stdin.Write([]byte("over\n")); err != nil {
		t.Fatal(err)
	}
	p.Stdout.WaitFor(t, `over`, 5*time.Second)
	if err := p.Stdin.Close(); err != nil {
		t.Fatal(err)
	}
	p.Signal(t, unix.SIGTERM)
	if r := p.Wait(t, 5*time.Second); r.ExitCode != 3 || !strings.HasSuffix(r.Stdout, "bye\n") {
		t.Errorf("got %s", r)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	w := New(t).Host
	w.MustRun(t, "sh", "-c", "(sleep 0.05 &) >/dev/null 2>&1")
	Eventually(t, 5*time.Second, func() error {
		out := w.MustRun(t, "sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status || true")
		if out != "" {
			return errors.New("zombies: " + out)
		}
		return nil
	})
	Eventually(t, 5*time.Second, func() error {
		if left := w.Processes(t); len(left) > 0 {
			return errors.New("processes: " + strings.Join(left, "; "))
		}
		return nil
	})
}

func TestTwoLabsDoNotMeet(t *testing.T) {
	one, two := New(t), New(t)
	if one.Host.PID == two.Host.PID {
		t.Fatal("two worlds share a holder")
	}
	one.Host.MustRun(t, "ip", "link", "add", "only-in-one", "type", "bridge")
	one.Host.MustRun(t, "touch", "/run/only-in-one")
	if got := two.Host.MustRun(t, "sh", "-c", "ip -o link; ls /run"); strings.Contains(got, "only-in-one") {
		t.Errorf("what is in one lab shows in another:\n%s", got)
	}
	listener, err := one.LAN.Listen("tcp", LANAddress+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	one.Host.WaitTCP(t, LANAddress+":80", 5*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if c, err := two.Host.Dial(ctx, "tcp", LANAddress+":80"); err == nil {
		_ = c.Close()
		t.Error("a host reaches another lab's LAN")
	}
}
