package e2e

import (
	"bufio"
	"fmt"
	pixels "image"
	"image/png"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// TestScreen looks at the screen by VNC and by a picture of it, with a supervisor and
// after it has gone.
func TestScreen(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, lab.BlankDisk(t, "raw"), "--format", "raw", "--name", "web", "--vnc")
	// What the firmware says stands on the screen, in light letters on black: 80 columns and
	// 25 lines of VGA's text mode. What QEMU shows before that has another size.
	text := pixels.Pt(720, 400)
	lab.Eventually(t, patience, func() error {
		h.must(t, "screenshot", "web", "/run/shot.png")
		shot := decodePNG(t, h.Host.File("/run/shot.png"))
		if size, n := shot.Bounds().Size(), coloursOf(shot); size != text || n < 2 {
			return fmt.Errorf("the screen has %v pixels of %d colours", size, n)
		}
		return nil
	})
	vnc := h.inspect(t, v.Name).Files["vnc"]
	if info, err := os.Stat(h.Host.File(vnc)); err != nil || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("the screen's socket: %v", err)
	}
	if size := h.viewScreen(t, vnc); size != text {
		t.Errorf("the screen has %v pixels by VNC", size)
	}
	h.kill(t, "KILL", h.inspect(t, v.Name).Details.Supervisor.PID)
	h.viewScreen(t, vnc)
	h.must(t, "pause", v.Name)
	h.must(t, "screenshot", v.Name, "/run/shot.png")
	h.must(t, "stop", "--force", v.Name)

	h.start(t, frozen(t, "--name", "db")...)
	h.fails(t, 2, "screenshot", "db", "/run/none.png")
	if _, err := os.Stat(h.Host.File("/run/none.png")); !os.IsNotExist(err) {
		t.Errorf("a picture of no screen: %v", err)
	}
	h.must(t, "stop", "--force", "db")
	h.Host.MustRun(t, "rm", "/run/shot.png")
	h.isAsBefore(t)
}

// viewScreen shakes hands as a VNC client does and returns the screen's size in pixels
// (RFC 6143, section 7).
func (h *host) viewScreen(t *testing.T, path string) pixels.Point {
	t.Helper()
	conn, err := net.DialTimeout("unix", h.Host.File(path), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	read := func(n int) []byte {
		t.Helper()
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			t.Fatalf("the screen's socket: %v after %q", err, text)
		}
		return text
	}
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	const version = "RFB 003.008\n"
	if got := read(len(version)); string(got) != version {
		t.Fatalf("the server's version is %q", got)
	}
	send(version)
	if offers := read(int(read(1)[0])); string(offers) != "\x01" {
		t.Fatalf("what the server wants of a client is %v, not nothing", offers)
	}
	send("\x01")
	if result := read(4); string(result) != "\x00\x00\x00\x00" {
		t.Fatalf("the server refuses: %v", result)
	}
	send("\x01")
	size := read(4)
	return pixels.Pt(int(size[0])<<8|int(size[1]), int(size[2])<<8|int(size[3]))
}

func decodePNG(t *testing.T, path string) pixels.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	shot, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return shot
}

// coloursOf counts the colours in a picture.
func coloursOf(shot pixels.Image) int {
	seen := make(map[any]bool)
	for y := range shot.Bounds().Dy() {
		for x := range shot.Bounds().Dx() {
			seen[shot.At(x, y)] = true
		}
	}
	return len(seen)
}
