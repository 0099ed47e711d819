package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const killSignal = unix.SIGKILL

// childVariable makes TestChildWithLab do its work, in a test binary that is
// going to be killed.
const childVariable = "KVMRUN_LAB_TEST_CHILD"

func TestChildWithLab(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		return // it is the other half of TestKilledTestBinaryLeavesNothing
	}
	l := New(t, LANPeers(1))
	l.Host.MustRun(t, "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
	p := l.LAN.Start(t, "sh", "-c", "echo up; exec sleep 1000")
	p.Stdout.WaitFor(t, "up", 10*time.Second)
	for _, w := range []*World{l.Host, l.LAN, l.Peers[0]} {
		id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", w.PID))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(id)
	}
	fmt.Println("built")
	<-p.Done()
}

func TestKillEndsEverything(t *testing.T) {
	l := New(t)
	id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", l.Host.PID))
	if err != nil {
		t.Fatal(err)
	}
	p := l.Host.Start(t, "sleep", "1000")
	l.Host.MustRun(t, "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
	inside := processesIn(t, []string{id})
	if len(inside) < 3 {
		t.Fatalf("%d processes in the world, want its holder and two more", len(inside))
	}
	l.Kill()
	if r := p.Wait(t, 5*time.Second); r.ExitCode != -1 {
		t.Errorf("its process was not killed: %s", r)
	}
	awaitEnds(t, inside)
}

func TestKilledTestBinaryLeavesNothing(t *testing.T) {
	requireNamespaces(t)
	child := exec.Command("/proc/self/exe", "-test.run=^TestChildWithLab$")
	child.Env = append(os.Environ(), childVariable+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Wait() }()
	defer func() { _ = child.Process.Kill() }()
	var ids []string
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "built"; {
		ids = append(ids, lines.Text())
	}
	if len(ids) != 3 {
		t.Fatalf("the child built %d worlds: %q", len(ids), ids)
	}
	// Each world must hold its holder, and the first two a sleep as well.
	inside := processesIn(t, ids)
	if len(inside) < 5 {
		t.Fatalf("%d processes in the worlds, want 5 or more", len(inside))
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitEnds(t, inside)
}

// processesIn opens the processes of the machine whose network namespace is
// one of ids, by pidfd. The numbers of namespaces are given away again at once,
// so that afterwards they would tell nothing.
func processesIn(t *testing.T, ids []string) map[string]int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, link := range links {
		id, err := os.Readlink(link)
		if err != nil || !slices.Contains(ids, id) {
			continue // it has ended, or is another's
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("open process %d: %v", pid, err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		found[link] = fd
	}
	return found
}

// awaitEnds returns when all processes have ended. A namespace without a
// process, a name or a descriptor is gone.
func awaitEnds(t *testing.T, processes map[string]int) {
	t.Helper()
	Eventually(t, 20*time.Second, func() error {
		var left []string
		for name, fd := range processes {
			ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(ended, 0); err != nil || n == 0 {
				left = append(left, name)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("still run: %s", strings.Join(left, ", "))
		}
		return nil
	})
}
