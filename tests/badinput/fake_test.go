package badinput

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// fakePrefix begins the names under which this test binary is a QEMU that
// misbehaves.
const fakePrefix = "fake-qemu-"

// fakes are what a fake QEMU does with whoever connects to its monitor.
var fakes = map[string]func(net.Conn){
	"garbage": func(c net.Conn) {
		_, _ = io.WriteString(c, "220 mail.example.org ESMTP\r\n")
		forever()
	},
	"endless": func(c net.Conn) {
		for {
			if _, err := c.Write(bytes.Repeat([]byte("A"), 64<<10)); err != nil {
				forever()
			}
		}
	},
	"json": func(c net.Conn) {
		_, _ = io.WriteString(c, `{"hello": ["world"]}`+"\r\n")
		forever()
	},
	"hangup": func(c net.Conn) {
		_ = c.Close()
		forever()
	},
	"mute": func(net.Conn) { forever() },
	// It greets and then answers every command with an error.
	"refusing": func(c net.Conn) {
		_, _ = io.WriteString(c, `{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}`+"\r\n")
		id := regexp.MustCompile(`"id": *("[^"]*"|\d+)`)
		for lines := bufio.NewScanner(c); lines.Scan(); {
			given := ""
			if m := id.FindStringSubmatch(lines.Text()); m != nil {
				given = `, "id": ` + m[1]
			}
			_, _ = fmt.Fprintf(c, `{"error": {"class": "GenericError", "desc": "not today"}%s}`+"\r\n", given)
		}
		forever()
	},
}

// forever waits to be ended.
func forever() { <-make(chan struct{}) }

// fakeQEMU serves the supervisor's monitor, which is the first socket in the
// argument vector, and does not return.
func fakeQEMU(role string) {
	socket := regexp.MustCompile(`^socket,id=qmp-supervisor,fd=(\d+),`)
	for _, arg := range os.Args {
		m := socket.FindStringSubmatch(arg)
		if m == nil {
			continue
		}
		fd, _ := strconv.Atoi(m[1])
		l, err := net.FileListener(os.NewFile(uintptr(fd), "monitor"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if c, err := l.Accept(); err == nil {
			fakes[role](c)
		}
	}
	fmt.Fprintln(os.Stderr, "no monitor in", strings.Join(os.Args, " "))
	os.Exit(1)
}

// newFakes puts the fakes where QEMU's user may execute them.
func newFakes(t *testing.T, h *host) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	first := ""
	for role := range fakes {
		path := "fakes/" + fakePrefix + role
		if first == "" {
			first = h.write(t, path, self)
			if err := os.Chmod(h.File(first), 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.Symlink(first, h.File("/run/"+path)); err != nil {
			t.Fatal(err)
		}
	}
}

// script makes an executable shell script in the host's /run/fakes.
func (h *host) script(t *testing.T, name, text string) string {
	t.Helper()
	path := h.write(t, "fakes/"+name, []byte("#!/bin/sh\n"+text+"\n"))
	if err := os.Chmod(h.File(path), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
