package images

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The kinds of failure, for errors.Is.
var (
	// ErrNotExist: there is no such file.
	ErrNotExist = errors.New("image does not exist")
	// ErrNotRegular: the name leads to a directory, a socket, a pipe or the like.
	ErrNotRegular = errors.New("not a file or block device")
	// ErrEmpty: there is no disk in it, of 0 bytes or of 0 sectors.
	ErrEmpty = errors.New("image is empty")
	// ErrTruncated: the image refers to data beyond the end of the file.
	ErrTruncated = errors.New("image is truncated")
	// ErrCorrupt: the image contradicts itself, or QEMU has marked it corrupt.
	ErrCorrupt = errors.New("image is corrupt")
	// ErrFormat: the content is no disk image that is known, or another one
	// than was asked for.
	ErrFormat = errors.New("image format")
	// ErrUnsupported: the content is known and cannot be used as it is.
	ErrUnsupported = errors.New("image is not supported")
	// ErrBacking: a backing file is gone, out of bounds, in a loop or not
	// usable. The reason, if it lies in that file, is of a kind of its own.
	ErrBacking = errors.New("backing file")
	// ErrPermission: the caller may not read or not write the file.
	ErrPermission = errors.New("image permission")
	// ErrInUse: another process has the image open in a way that excludes this.
	ErrInUse = errors.New("image is in use")
	// ErrRead: the host failed to read the file.
	ErrRead = errors.New("image cannot be read")
	// ErrCreate: a new image cannot be written.
	ErrCreate = errors.New("image cannot be created")
	// ErrSize: no disk can have the size that was asked for.
	ErrSize = errors.New("disk size")
)

// Error is a failure with one image. errors.Is finds its Kind and its cause.
type Error struct {
	// Path is the image as the caller, or the image above it, called it.
	Path string
	// Kind is one of this package's sentinel errors.
	Kind error
	// Detail says in words what is the matter.
	Detail string
	// Advice says what to do about it; it may be empty.
	Advice string
	// Err is the cause; it may be nil.
	Err error
}

// Error returns the whole message: the image, what is the matter, the cause
// and the advice.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("image ")
	b.WriteString(quote(e.Path))
	b.WriteString(": ")
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

// quote leaves a plain name as it is and makes any other printable: names come
// from headers too, and must not reach a terminal as control characters.
func quote(name string) string {
	plain := name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r == ' ' || r == '"' || r == '\'' || r == '\\' || !strconv.IsPrint(r)
	})
	if plain {
		return name
	}
	return strconv.Quote(name)
}

// problem makes an error whose path is filled in by who knows it.
func problem(kind error, advice, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...), Advice: advice}
}

// about fills in the image that the problem is with, for which FILE stands in
// the advice.
func (e *Error) about(path string) *Error {
	e.Path = path
	e.Advice = strings.ReplaceAll(e.Advice, "FILE", quote(path))
	return e
}

// readFailed is the error for a failing disk.
func readFailed(path string, cause error) *Error {
	return &Error{Path: path, Kind: ErrRead, Detail: "reading it failed", Err: cause,
		Advice: "look at the host's kernel log for errors of its disk"}
}

// openFailed explains a failed open(2).
func openFailed(path string, write bool, cause error) *Error {
	e := &Error{Path: path, Kind: ErrRead, Detail: "opening it failed", Err: cause}
	switch {
	case errors.Is(cause, unix.ENOENT), errors.Is(cause, unix.ENOTDIR),
		errors.Is(cause, unix.ENAMETOOLONG), errors.Is(cause, unix.ELOOP),
		errors.Is(cause, unix.EINVAL): // a NUL byte in the name
		e.Kind, e.Advice = ErrNotExist, "check the path"
	case errors.Is(cause, unix.EROFS):
		e.Kind, e.Detail = ErrPermission, "it cannot be opened for writing"
		e.Advice = "its file system is read-only: copy the image, or use it with --ephemeral"
	case errors.Is(cause, unix.EACCES), errors.Is(cause, unix.EPERM):
		e.Kind, e.Advice = ErrPermission, "check the owner and mode of the file and its folders, or run as root"
		if write {
			e.Detail = "it cannot be opened for writing"
		}
	case errors.Is(cause, unix.EBUSY):
		e.Kind, e.Detail = ErrInUse, "the host itself uses this block device"
		e.Advice = "unmount it, or stop what claims it (LVM, md, swap)"
	}
	return e
}
