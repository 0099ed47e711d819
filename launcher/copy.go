package launcher

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// CopyOptions say how files are copied.
type CopyOptions struct {
	By   Way // as for Exec
	Note func(format string, args ...any)
	// Progress is told how many bytes of how many have been copied; of 0 if that is not
	// known. It may be nil, and is called often.
	Progress func(done, total int64)
}

// CopyIn copies a file of the host's, or a folder and all that is in it, into the VM's
// guest: into the folder dst, or under that name. Modes and times are kept, owners are
// whom the files are made by there. A file that dst replaces is whole before it does.
func (l *Launcher) CopyIn(ctx context.Context, name, src, dst string, o CopyOptions) error {
	op := "copy to " + printableName(name)
	real, err := filepath.EvalSymlinks(src)
	if err != nil {
		return during(op, hostFile(err))
	}
	base := filepath.Base(src)
	if base == "." || base == ".." || base == string(filepath.Separator) {
		base = filepath.Base(real)
	}
	send := func(w io.Writer) error {
		return pack(w, real, base, counter(o.Progress, func() int64 { return sizeOf(real) }))
	}
	return during(op, l.copy(ctx, name, []string{"sh", "-c", unpackScript, "sh", dst, base}, send, nil, o))
}

// CopyOut copies a file of the guest's, or a folder and all that is in it, to the host:
// into the folder dst, or under that name. Modes and times are kept, but for the bits by
// which a program gets its owner's rights; the owner is who calls it. What the guest sends
// gets nowhere else, whatever it is.
func (l *Launcher) CopyOut(ctx context.Context, name, src, dst string, o CopyOptions) error {
	op := "copy from " + printableName(name)
	base := filepath.Base(src)
	if info, err := os.Stat(dst); err == nil && info.IsDir() && base != "." && base != ".." && base != "/" {
		dst = filepath.Join(dst, base)
	}
	if _, err := os.Stat(filepath.Dir(dst)); err != nil {
		return during(op, hostFile(err))
	}
	receive := func(r io.Reader) error {
		return unpack(r, dst, counter(o.Progress, nil), func(format string, args ...any) { o.note(format, args...) })
	}
	return during(op, l.copy(ctx, name, []string{"sh", "-c", packScript, "sh", src}, nil, receive, o))
}

func (o CopyOptions) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(format, args...)
	}
}

// unpackScript has the guest's tar unpack its input: into the folder $1, or as that name
// what is called $2 in there.
const unpackScript = `cd "${HOME:-/}"
case $1 in '') d=. ;; /*) d=$1 ;; *) d=./$1 ;; esac
if [ -d "$d" ]; then cd "$d" && exec tar -xopf -; fi
case $d in */) echo "$1: no such folder" >&2; exit 1 ;; esac
[ -d "$(dirname "$d")" ] || { echo "$(dirname "$1"): no such folder" >&2; exit 1; }
t=$(mktemp -d "$(dirname "$d")/.kvmrun-XXXXXX") || exit 1
trap 'rm -rf "$t"' EXIT
trap 'exit 1' HUP INT TERM PIPE
(cd "$t" && exec tar -xopf -) && mv -f "$t/$2" "$d"`

// packScript has the guest's tar pack $1, or what that leads to.
const packScript = `cd "${HOME:-/}"
case $1 in '') s=. ;; /*) s=$1 ;; *) s=./$1 ;; esac
[ -e "$s" ] || { echo "$1: no such file" >&2; exit 1; }
s=$(readlink -f "$s") && cd "$(dirname "$s")" || exit 1
[ "$s" = / ] || s=./$(basename "$s")
[ "$s" != / ] || s=.
exec tar -cf - "$s"`

// maxComplaint is how much of what the guest's programs complain of goes into an error,
// in bytes.
const maxComplaint = 2000

// copy runs a command in the guest with one of its streams sent or received.
func (l *Launcher) copy(ctx context.Context, name string, command []string, send func(io.Writer) error, receive func(io.Reader) error, o CopyOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := newCopyPipes()
	if err != nil {
		return err
	}
	defer p.close()
	streamed := make(chan error, 1)
	complaint := make(chan string, 1)
	go func() { complaint <- p.complaint() }()
	go func() { streamed <- p.stream(send, receive, cancel) }()
	run := ExecOptions{By: o.By, Stdin: p.in, Stdout: p.out, Stderr: p.errs, Note: o.Note}
	status, err := l.Exec(ctx, name, command, run)
	p.end()
	failed, said := <-streamed, <-complaint
	switch {
	case failed != nil && !isCut(failed):
		return failed // it is why the other side failed, too
	case err != nil:
		var e *Error
		if errors.As(err, &e) {
			return &Error{Kind: e.Kind, Err: e.Err, Advice: e.Advice}
		}
		return err
	case status != 0 && said != "":
		return fail(KindGuest, "", "%s", said)
	case status != 0:
		return fail(KindGuest, "", "the guest's tar failed (exit status %d)", status)
	}
	return failed
}

// errUnread says that the guest did not take what it was sent.
var errUnread = errors.New("the guest does not read what is sent")

// isCut tells whether a stream has ended too soon: the guest knows why.
func isCut(err error) bool {
	return errors.Is(err, errUnread) || errors.Is(err, errEmpty) || errors.Is(err, io.ErrUnexpectedEOF)
}

// copyPipes are the command's streams and their other ends.
type copyPipes struct {
	in, out, errs       *os.File // the command's
	toIn, fromOut, said *os.File
}

func newCopyPipes() (*copyPipes, error) {
	p := new(copyPipes)
	for _, ends := range [][2]**os.File{{&p.in, &p.toIn}, {&p.fromOut, &p.out}, {&p.said, &p.errs}} {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, err
		}
		widen(r)
		*ends[0], *ends[1] = r, w
	}
	return p, nil
}

// end closes the command's ends, for the command has ended.
func (p *copyPipes) end() {
	for _, f := range []*os.File{p.in, p.out, p.errs} {
		_ = f.Close()
	}
}

func (p *copyPipes) close() {
	for _, f := range []*os.File{p.in, p.out, p.errs, p.toIn, p.fromOut, p.said} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// stream sends what is to be sent and receives what is to be received. If that fails the
// command is given up.
func (p *copyPipes) stream(send func(io.Writer) error, receive func(io.Reader) error, giveUp func()) (err error) {
	if send != nil {
		err = send(p.toIn)
		if isBrokenPipe(err) {
			err = errUnread
		}
	}
	if err != nil && !isCut(err) {
		giveUp() // before the end of the input: what the guest has is not all
	}
	_ = p.toIn.Close()
	if receive != nil {
		if err = receive(p.fromOut); err != nil && !isCut(err) {
			giveUp()
		}
	}
	_, _ = io.Copy(io.Discard, p.fromOut)
	return err
}

// complaint is what the command says on standard error, on one line.
func (p *copyPipes) complaint() string {
	text, _ := io.ReadAll(io.LimitReader(p.said, maxComplaint))
	_, _ = io.Copy(io.Discard, p.said)
	return strings.Join(strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// hostFile is what is wrong with a file of the host's that was named.
func hostFile(err error) error {
	var path *os.PathError
	if errors.As(err, &path) && errors.Is(err, os.ErrNotExist) {
		return fail(KindUsage, "", "%s is not there", path.Path)
	}
	return err
}

// counter adds up what has been copied.
func counter(progress func(done, total int64), total func() int64) func(n int64) {
	if progress == nil {
		return func(int64) {}
	}
	var done, all int64
	if total != nil {
		all = total()
	}
	return func(n int64) {
		done += n
		progress(done, all)
	}
}
