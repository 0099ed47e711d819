package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Call is one entry of a system call that changes the host.
type Call struct {
	By     Role   `json:"by"`
	Forked bool   `json:"forked,omitempty"` // by a child that is not yet another program
	Text   string `json:"text"`             // name and arguments, as far as they tell something
}

// String is the call and who made it.
func (c Call) String() string {
	by := string(c.By)
	if c.Forked {
		by += "'s child"
	}
	return by + ": " + c.Text
}

// entry is a thread at the entry of a system call.
type entry struct {
	tid, pid int
	number   uintptr
	args     [6]uintptr
}

// target is what a descriptor refers to, in the words of proc(5), such as
// socket:[123] or a path.
func (e entry) target(arg int) string {
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", e.tid, int32(e.args[arg])))
	if err != nil {
		return "closed"
	}
	return link
}

// text reads a string argument. What cannot be read is empty.
func (e entry) text(arg int) string {
	const most = 256
	buf := make([]byte, most)
	n := e.read(e.args[arg], buf)
	text, _, _ := bytes.Cut(buf[:n], []byte{0})
	return string(text)
}

// read copies from the process's memory, as much as there is.
func (e entry) read(address uintptr, to []byte) int {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", e.tid))
	if err != nil {
		return 0
	}
	defer func() { _ = memory.Close() }()
	n, _ := memory.ReadAt(to, int64(address))
	return n
}

// flags are those of a clone3, the first field of struct clone_args.
func (e entry) flags() uint64 {
	var flags [8]byte
	e.read(e.args[0], flags[:])
	return binary.NativeEndian.Uint64(flags[:])
}

// describe is the call with those arguments that its rule names.
func (e entry) describe(r rule) string {
	var args []string
	for i, kind := range r.shows {
		switch kind {
		case path:
			args = append(args, strconv.Quote(e.text(i)))
		case file:
			args = append(args, fmt.Sprintf("%d<%s>", int32(e.args[i]), e.target(i)))
		case number:
			args = append(args, strconv.Itoa(int(e.args[i])))
		case bits:
			args = append(args, fmt.Sprintf("%#x", e.args[i]))
		case packet:
			args = append(args, e.message().String())
		case signal:
			args = append(args, unix.SignalName(unix.Signal(e.args[i])))
		}
	}
	return r.name + "(" + strings.Join(args, ", ") + ")"
}
