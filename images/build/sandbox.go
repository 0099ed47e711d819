package build

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// maxWords is how much of a tool's last words is kept, in bytes.
const maxWords = 16 << 10

// tool is one run of a program.
type tool struct {
	name string
	args []string
	// env comes beside a plain environment.
	env []string
	dir string
	// apart gives it namespaces of its own for mounts, processes and IPC. It is process
	// 1 there, and the kernel ends the others with it and frees what they have mounted.
	apart bool
	// line is told each line that it prints. It may be nil.
	line func(string)
}

// run returns when it has ended, with what it has printed, of which the end is kept.
// It ends with this process, by the end of its thread: that one belongs to the
// goroutine, which never unlocks it.
func (t tool) run(ctx context.Context) (said string, err error) {
	cmd := exec.CommandContext(ctx, t.name, t.args...)
	out := &lines{tell: t.line}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir, cmd.Env = t.dir, append(environment(), t.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if t.apart {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // Go makes all mounts private then
	}
	ended := make(chan error)
	go func() {
		runtime.LockOSThread()
		ended <- cmd.Run()
	}()
	err = <-ended
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return string(out.last), err
}

// passed are the variables that a build looks at: how to reach an archive.
var passed = []string{"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "APT_CONFIG"}

// environment is the same for every user, so that it decides nothing in an image.
// Debian's administrators' commands are not in everybody's path.
func environment() []string {
	env := []string{"PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/root",
		"DEBIAN_FRONTEND=noninteractive"}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// lines hands on what is written to it by the line, and keeps the end.
type lines struct {
	tell func(string)
	part []byte
	last []byte
}

var _ io.Writer = (*lines)(nil)

func (l *lines) Write(p []byte) (int, error) {
	l.last = append(l.last, p...)
	l.last = l.last[max(0, len(l.last)-maxWords):]
	l.part = append(l.part, p...)
	for {
		at := bytes.IndexByte(l.part, '\n')
		if at < 0 {
			l.part = l.part[max(0, len(l.part)-maxWords):]
			return len(p), nil
		}
		if l.tell != nil {
			l.tell(strings.TrimRight(string(l.part[:at]), "\r"))
		}
		l.part = l.part[at+1:]
	}
}

// failed says of which kind a tool's failure is, by its words.
func failed(what, said string, err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	e := &Error{Kind: ErrBuild, Detail: what + " failed: " + reason(said), Advice: "--verbose shows all that the tools say"}
	for _, known := range knownWords {
		for _, words := range known.words {
			if strings.Contains(said, words) {
				e.Kind, e.Advice = known.kind, known.advice
				return e
			}
		}
	}
	return e
}

// knownWords are those by which tools say what is the matter.
var knownWords = []struct {
	kind   error
	advice string
	words  []string
}{
	{ErrFull, "free some space or memory, or give the disk more by --size", []string{"No space left on device", "Could not allocate block", "not enough free space"}},
	{ErrOptions, "see what packages the release has, as by apt search on a host of that release", []string{"Unable to locate package", "was not found", "has no installation candidate"}},
	{ErrArchive, "see whether the host's apt works (apt-get update), or give another archive by --mirror",
		[]string{"Failed to fetch", "Temporary failure", "Could not resolve", "Could not connect", "NO_PUBKEY", "is not signed", "does not have a Release file", "Hash Sum mismatch"}},
}

// reason are the lines in which a tool says what is wrong, or its last.
func reason(said string) string {
	var told []string
	all := strings.Split(strings.TrimSpace(said), "\n")
	for _, line := range all {
		if text, ok := strings.CutPrefix(line, "E: "); ok && !strings.HasPrefix(text, "setup failed") && !strings.HasPrefix(text, "mmdebstrap failed") {
			told = append(told, text)
		}
	}
	if len(told) == 0 {
		told = all[max(0, len(all)-2):]
	}
	return strings.Join(told[:min(len(told), 3)], "; ")
}
