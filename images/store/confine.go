package store

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// qemuImg is one run of qemu-img on something that was written by others.
//
// It runs as a user of its own, without privileges and without a way to any,
// where no network is (if this process is root's), and ends with this process. By
// itself it could open what all users may; so it is given the name of a driver for
// each file, too, and never a format to guess or a name from a header.
type qemuImg struct {
	program string
	user    uint32 // 0: as this process
	args    []string
	// given becomes descriptor 3: a file to look at, or the folder with the files.
	given *os.File
	out   io.Writer
	// room is how large a file may get that it writes, in bytes; 0 if it writes none.
	room int64
}

// givenFile is the path of the given file for qemu-img, or of one below the folder.
func givenFile(name string) string {
	if name == "" {
		return "/proc/self/fd/3"
	}
	return "/proc/self/fd/3/" + name
}

// maxWords is how much of qemu-img's last words is kept, in bytes.
const maxWords = 4 << 10

// run returns when qemu-img has ended. What it said comes with the error if it
// failed, which is an exec.ExitError with a status of its own.
func (q qemuImg) run(ctx context.Context) (words string, err error) {
	path, err := exec.LookPath(q.program)
	if err != nil {
		return "", noConverter(q.program, errors.Unwrap(err))
	}
	said := &tail{}
	err = q.start(ctx, path, said, q.isolation())
	if errors.Is(err, unix.EPERM) && q.isolation() != 0 {
		// In a container, root may not have namespaces to make.
		err = q.start(ctx, path, said, 0)
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil, errors.As(err, &exit):
		words = explain(string(said.text))
		if failed := ended(err, words); failed != nil {
			return "", failed
		}
		return words, err
	}
	return "", noConverter(path, err)
}

// isolation are the namespaces that it runs in. With its namespace of processes,
// whatever it may have started ends when it does.
func (q qemuImg) isolation() uintptr {
	if os.Geteuid() != 0 {
		return 0
	}
	return unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC
}

// start runs it to its end, by a thread that can gain no privileges any more
// (PR_SET_NO_NEW_PRIVS, prctl(2)) and whose end is qemu-img's. The thread ends with
// the goroutine, which never unlocks it.
func (q qemuImg) start(ctx context.Context, path string, said io.Writer, isolation uintptr) error {
	cmd := exec.CommandContext(ctx, "/bin/sh")
	cmd.Args = limitedCommand(path, q.room, q.args)
	cmd.Dir, cmd.Env = "/", environment()
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = q.out, said, []*os.File{q.given}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: isolation}
	if q.user != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: q.user, Gid: q.user}
	}
	ended := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if err == nil {
			err = cmd.Run()
		}
		ended <- err
	}()
	return <-ended
}

// noConverter says that there is no qemu-img to run.
func noConverter(program string, cause error) error {
	if errors.Is(cause, os.ErrPermission) {
		return imageError(program, ErrNoConverter, cause, "every user must be able to execute it", "it cannot be executed")
	}
	return imageError(program, ErrNoConverter, cause, "install it (Debian: apt install qemu-utils)",
		"the program that converts images is not here")
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-maxWords):]
	return len(p), nil
}

// explain is the last line of what qemu-img says, without its own name and that of
// the image, which says nothing to whom it is shown.
func explain(said string) string {
	said = strings.TrimSpace(said)
	line := said[strings.LastIndexByte(said, '\n')+1:]
	line = strings.TrimPrefix(line, "qemu-img: ")
	if at := strings.LastIndex(line, "}': "); at >= 0 {
		line = line[at+len("}': "):]
	}
	return strings.ReplaceAll(line, givenFile(""), "it")
}

// percent reads the progress that qemu-img convert -p writes, (12.34/100%), and
// tells of it as of a part of total bytes.
type percent struct {
	total int64
	tell  func(done, total int64)
	text  []byte
}

func (p *percent) Write(text []byte) (int, error) {
	p.text = append(p.text, text...)
	for {
		word, rest, found := strings.Cut(string(p.text), "/100%)")
		if !found {
			p.text = p.text[max(0, len(p.text)-maxWords):]
			return len(text), nil
		}
		p.text = []byte(rest)
		if share, err := strconv.ParseFloat(word[strings.LastIndexByte(word, '(')+1:], 64); err == nil && share >= 0 && share <= 100 {
			p.tell(int64(share/100*float64(p.total)), p.total)
		}
	}
}
