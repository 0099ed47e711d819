package trace

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// programVariable makes a copy of the test binary the program that is traced.
const programVariable = "KVMRUN_TRACE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	Main()
	if dir := os.Getenv(programVariable); dir != "" {
		program(dir)
		os.Exit(7)
	}
	os.Exit(m.Run())
}

// The numbers of what the program makes.
const (
	makers = 4 // threads of each process
	each   = 5 // directories of each thread
)

// program makes directories, on many threads at once. As a command it starts a
// supervisor first, which makes as many of its own, and a QEMU.
func program(dir string) {
	runtime.LockOSThread() // its children end with this thread
	role := Command
	if len(os.Args) == 2 && os.Args[1] == "supervise" {
		role = Supervisor
	} else {
		supervisor := exec.Command(os.Args[0], "supervise")
		qemu := exec.Command("/bin/sh", "-c", "mkdir "+filepath.Join(dir, "QEMU")+"; exec sleep 1000")
		qemu.Args[0] = "qemu-system-x86_64"
		for _, child := range []*exec.Cmd{supervisor, qemu} {
			child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := child.Start(); err != nil {
				panic(err)
			}
		}
		defer func() {
			_ = supervisor.Wait()
			_ = qemu.Process.Kill()
			_ = qemu.Wait()
		}()
	}
	make := func(maker int) {
		runtime.LockOSThread() // and the thread ends with the goroutine
		for n := range each {
			if err := syscall.Mkdir(filepath.Join(dir, fmt.Sprintf("%s-%d-%d", role, maker, n)), 0o755); err != nil {
				panic(err)
			}
		}
	}
	var threads sync.WaitGroup
	for maker := range makers {
		threads.Go(func() { make(maker) })
	}
	threads.Wait()
}

// run carries out an order about the program and returns what the program made
// in its folder, by role.
func run(t *testing.T, o Order) (*Report, map[Role]int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: not everybody may trace processes; run the tests as root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o.Command = []string{self}
	o.Report = filepath.Join(t.TempDir(), "report")
	variable, err := o.Environment()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), variable, programVariable+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the tracer: %v\n%s", err, out)
	}
	report, err := ReadReport(o.Report)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	made := map[Role]int{}
	for _, e := range entries {
		role, _, _ := strings.Cut(e.Name(), "-")
		made[Role(role)]++
	}
	return report, made
}

// mkdirs are the numbers of those calls of somebody's that make directories,
// counted over all of its calls, as an order counts them.
func (r *Report) mkdirs(by Role) []int {
	var numbers []int
	n := 0
	for _, c := range r.Calls {
		if c.By != by {
			continue
		}
		n++
		if strings.HasPrefix(c.Text, "mkdir") {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// Every call of every thread is seen, and who makes it.
func TestEveryThreadIsFollowed(t *testing.T) {
	report, made := run(t, Order{})
	for _, role := range []Role{Command, Supervisor} {
		if n := len(report.mkdirs(role)); n != makers*each || made[role] != n {
			t.Errorf("%s: %d calls of mkdir, %d directories, want %d", role, n, made[role], makers*each)
		}
	}
	if report.Reached || report.Exit != 7 {
		t.Errorf("reached %v, exit status %d, want 7", report.Reached, report.Exit)
	}
	forks := 0
	for _, c := range report.Calls {
		if c.By == QEMU {
			t.Errorf("QEMU is followed: %s", c)
		}
		if c.Forked && strings.HasPrefix(c.Text, "execve") {
			forks++
		}
	}
	if forks != 2 {
		t.Errorf("%d programs are executed, want 2", forks)
	}
}

// The call at which is killed is not carried out, nor is perhaps what the other
// threads have just entered; all before is.
func TestKillsWhereItSays(t *testing.T) {
	whole, _ := run(t, Order{})
	for _, role := range []Role{Command, Supervisor} {
		first := whole.mkdirs(role)[0]
		for at := first; at <= first+makers*each; at += 5 {
			report, made := run(t, Order{Trigger: role, At: at, Victims: []Role{role}})
			if !report.Reached || report.Count(role) != at {
				t.Fatalf("%s %d: reached %v, after %d", role, at, report.Reached, report.Count(role))
			}
			want := len(report.mkdirs(role))
			if strings.HasPrefix(strings.TrimPrefix(report.Last(role), string(role)+": "), "mkdir") {
				want--
			}
			if made[role] > want || made[role] <= want-makers {
				t.Errorf("%s killed at its call %d, %s: made %d, want %d or a little less", role, at, report.Last(role), made[role], want)
			}
			if role == Command && report.Exit != -1 {
				t.Errorf("the command was to be killed, and ended with %d", report.Exit)
			}
			if role == Supervisor && (report.Exit != 7 || made[Command] != makers*each) {
				t.Errorf("the command was to live on: exit status %d, made %d", report.Exit, made[Command])
			}
		}
	}
}

// All can be killed at once.
func TestKillsAllVictims(t *testing.T) {
	whole, _ := run(t, Order{})
	last := whole.mkdirs(Supervisor)[makers*each-1]
	report, made := run(t, Order{Trigger: Supervisor, At: last, Victims: []Role{Command, Supervisor, QEMU}})
	if !report.Reached || report.Exit != -1 || made[Supervisor] >= makers*each {
		t.Errorf("reached %v, exit status %d, made %v", report.Reached, report.Exit, made)
	}
}

func TestCallThatNeverComes(t *testing.T) {
	report, made := run(t, Order{Trigger: Command, At: 10000, Victims: []Role{Command}})
	if report.Reached || report.Exit != 7 || made[Command] != makers*each {
		t.Errorf("reached %v, exit status %d, made %v", report.Reached, report.Exit, made)
	}
}
