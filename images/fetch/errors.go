package fetch

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The kinds of failure, for errors.Is.
var (
	// ErrLocation: it is no path and no URL that can be got.
	ErrLocation = errors.New("no location to get a file from")
	// ErrDigest: a checksum is malformed.
	ErrDigest = errors.New("no checksum")
	// ErrUnchecked: there is nothing to hold the file against.
	ErrUnchecked = errors.New("nothing to check the file by")
	// ErrSums: a file of checksums cannot be used.
	ErrSums = errors.New("file of checksums")
	// ErrChecksum: what came is not what was to come.
	ErrChecksum = errors.New("wrong checksum")
	// ErrInsecure: it would go over a connection that protects nothing.
	ErrInsecure = errors.New("insecure connection")
	// ErrNotFound: there is no such file.
	ErrNotFound = errors.New("file does not exist")
	// ErrForbidden: the file may not be had.
	ErrForbidden = errors.New("file may not be read")
	// ErrHost: there is no such host, or no way to it.
	ErrHost = errors.New("host cannot be reached")
	// ErrTLS: the server does not prove who it is.
	ErrTLS = errors.New("TLS")
	// ErrRedirect: the server sends one in circles, or to nowhere.
	ErrRedirect = errors.New("redirect")
	// ErrServer: the server refuses, or says what makes no sense.
	ErrServer = errors.New("server")
	// ErrConnection: the connection broke again and again.
	ErrConnection = errors.New("connection")
	// ErrSize: more comes than may come.
	ErrSize = errors.New("file is too large")
	// ErrNoSpace: the disk has no room for it.
	ErrNoSpace = errors.New("no space")
	// ErrArchive: what is packed cannot be unpacked.
	ErrArchive = errors.New("archive is damaged")
	// ErrRead: a local file cannot be read.
	ErrRead = errors.New("file cannot be read")
	// ErrWrite: the folder cannot be written to.
	ErrWrite = errors.New("file cannot be written")
)

// Error is a failure to get one file. errors.Is finds its Kind and its cause.
type Error struct {
	// Source is the location, without a password.
	Source string
	// Kind is one of this package's sentinel errors.
	Kind error
	// Detail says in words what is the matter.
	Detail string
	// Advice says what to do about it; it may be empty.
	Advice string
	// Err is the cause; it may be nil.
	Err error

	// passing says that it may be gone the next time, and after what time at
	// the earliest.
	passing bool
	after   time.Duration
}

// Error returns the whole message: the source, what is the matter, the cause
// and the advice.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Source != "" {
		b.WriteString(show(e.Source))
		b.WriteString(": ")
	}
	b.WriteString(e.Detail)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Advice != "" {
		b.WriteString("; ")
		b.WriteString(e.Advice)
	}
	return b.String()
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// about fills in the source where it is missing.
func about(l location, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Source == "" {
		e.Source = l.String()
	}
	return err
}

// show makes a text harmless for a terminal: names come from servers, too.
func show(text string) string {
	if quoted := strconv.Quote(text); quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

// shorten keeps a text that was no checksum, or no header, within a line.
func shorten(text string) string {
	if len(text) > 80 {
		return text[:80] + "…"
	}
	return text
}

// writeFailed explains what the file system says to a write.
func writeFailed(dir string, cause error) *Error {
	e := &Error{Kind: ErrWrite, Detail: "writing to " + show(dir) + " failed", Err: cause}
	switch {
	case errors.Is(cause, unix.ENOSPC), errors.Is(cause, unix.EDQUOT), errors.Is(cause, unix.EFBIG):
		e.Kind, e.Advice = ErrNoSpace, "free some space, or use another data directory"
	case errors.Is(cause, fs.ErrPermission), errors.Is(cause, unix.EROFS):
		e.Advice = "check the owner and mode of the folder, or run as root"
	case errors.Is(cause, fs.ErrNotExist):
		e.Advice = "create the folder first"
	}
	return e
}

// readFailed explains what the file system says of a local file.
func readFailed(l location, cause error) *Error {
	e := &Error{Source: l.String(), Kind: ErrRead, Detail: "it cannot be read", Err: cause}
	var path *fs.PathError
	if errors.As(cause, &path) {
		e.Err = path.Err // it repeats the path
	}
	switch {
	case errors.Is(cause, fs.ErrNotExist), errors.Is(cause, unix.ENOTDIR), errors.Is(cause, unix.ENAMETOOLONG),
		errors.Is(cause, unix.ELOOP), errors.Is(cause, unix.EINVAL): // a NUL byte in the name
		e.Kind, e.Advice = ErrNotFound, "check the path"
	case errors.Is(cause, fs.ErrPermission):
		e.Kind, e.Advice = ErrForbidden, "check the owner and mode of the file and its folders, or run as root"
	}
	return e
}
