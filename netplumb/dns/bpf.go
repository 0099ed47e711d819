package dns

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel is asked for programs and maps by bpf(2). What is needed of it here is
// three calls, for which no library is worth its weight.

// newSocketMap makes a map with the one socket in it. The caller closes it. The kernel
// takes a socket that is closed out of it.
func newSocketMap(listener *net.TCPListener) (int, error) {
	fd, err := createMap()
	if err != nil {
		return -1, err
	}
	raw, err := listener.SyscallConn()
	if err == nil {
		var failed error
		err = raw.Control(func(socket uintptr) { failed = enter(fd, uint64(socket)) })
		err = errors.Join(err, failed)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("put the listener into a map: %w", err)
	}
	return fd, nil
}

// createMap makes a map with room for one socket.
func createMap() (int, error) {
	create := struct{ kind, keySize, valueSize, entries uint32 }{unix.BPF_MAP_TYPE_SOCKMAP, 4, 8, 1}
	fd, err := bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&create), unsafe.Sizeof(create))
	if err != nil {
		err = fmt.Errorf("make a map of sockets (the kernel needs CONFIG_BPF_SYSCALL and CONFIG_NET): %w", err)
	}
	return fd, err
}

// enter makes a socket the first of a map.
func enter(mapFD int, socket uint64) error {
	var pins runtime.Pinner
	defer pins.Unpin()
	update := struct {
		fd         uint32
		_          uint32
		key, value uint64
		flags      uint64
	}{fd: uint32(mapFD), key: pinned(&pins, new(uint32)), value: pinned(&pins, &socket)}
	_, err := bpf(unix.BPF_MAP_UPDATE_ELEM, unsafe.Pointer(&update), unsafe.Sizeof(update))
	return err
}

// loadProgram has the kernel check a program for a filter of traffic control. The
// caller closes it.
func loadProgram(code []instruction) (int, error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	license := []byte("Apache-2.0\x00") // no function that it calls asks for more
	load := struct {
		kind, count          uint32
		code, license        uint64
		logLevel, logSize    uint32
		log                  uint64
		kernelVersion, flags uint32
		name                 [unix.BPF_OBJ_NAME_LEN]byte
	}{
		kind: unix.BPF_PROG_TYPE_SCHED_CLS, count: uint32(len(code)),
		code: pinned(&pins, &code[0]), license: pinned(&pins, &license[0]),
	}
	copy(load.name[:], "kvmrun_dns")
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	if err == nil {
		return fd, nil
	}
	log := make([]byte, 16<<10) // again, for the reason
	load.logLevel, load.logSize, load.log = 1, uint32(len(log)), pinned(&pins, &log[0])
	if fd, err = bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load)); err == nil {
		return fd, nil
	}
	said, _, _ := strings.Cut(string(log), "\x00")
	return -1, fmt.Errorf("load the program that leads DNS to its server (the kernel needs CONFIG_BPF_SYSCALL): %w %s", err, strings.TrimSpace(said))
}

// pinned is a pointer as bpf(2) wants it inside of what it is given. What it points to
// stays where it is until the pins are taken out.
func pinned[T any](pins *runtime.Pinner, p *T) uint64 {
	pins.Pin(p)
	return uint64(uintptr(unsafe.Pointer(p)))
}

func bpf(command int, attributes unsafe.Pointer, length uintptr) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attributes), length)
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}
