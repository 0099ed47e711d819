package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSizesForPeople(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10188: "9.9 KiB", 10189: "10 KiB", 1023 << 10: "1023 KiB",
		1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 1536 << 20: "1.5 GiB", 20 << 30: "20 GiB", 1 << 62: "4.0 EiB",
	} {
		if got := sizeText(bytes); got != want {
			t.Errorf("%d bytes are %q, want %q", bytes, got, want)
		}
	}
}

// terminal is a pseudo-terminal (pty(7)): what is written to it can be read from
// its other end.
func terminal(t *testing.T) (shown, tty *os.File) {
	t.Helper()
	shown, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	t.Cleanup(func() { _ = shown.Close() })
	if err := unix.IoctlSetPointerInt(int(shown.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(shown.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return shown, tty
}

// TestProgressOnATerminal reads what a terminal is sent: how far it is, and at the
// end nothing is left of that.
func TestProgressOnATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		show func(a *app) (done func())
		want string
	}{
		"busy": {func(a *app) func() { return a.busy("stopping %s", "web") }, "stopping web … 0 s"},
		"counting": {func(a *app) func() {
			tell, done := a.counting()
			tell("reading a\x1b[2Jb", 700<<20, 2<<30)
			return done
		}, `reading a\x1b[2Jb … 34 % of 2.0 GiB`},
		"counting to nobody knows what": {func(a *app) func() {
			tell, done := a.counting()
			tell("reading x", 700<<20, 0)
			return done
		}, "reading x … 700 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			shown, tty := terminal(t)
			done := c.show(&app{err: tty})
			var text []byte
			for buf := make([]byte, 4096); !strings.Contains(string(text), c.want); {
				if err := shown.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Logf("no deadline: %v", err)
				}
				n, err := shown.Read(buf)
				if err != nil {
					t.Fatalf("shown is %q, and then %v", text, err)
				}
				text = append(text, buf[:n]...)
			}
			done()
			if _, err := tty.WriteString("end\n"); err != nil {
				t.Fatal(err)
			}
			for buf := make([]byte, 4096); !strings.Contains(string(text), "end"); {
				n, err := shown.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, buf[:n]...)
			}
			if !strings.Contains(string(text), eraseLine+"end") {
				t.Errorf("the line is still there: %q", text)
			}
		})
	}
}

func TestProgressInAPipe(t *testing.T) {
	var said bytes.Buffer
	a := &app{err: &said}
	tell, done := a.counting()
	tell("reading", 1, 2)
	done()
	a.busy("stopping")()
	if said.Len() > 0 {
		t.Errorf("a pipe gets %q", said.String())
	}
}
