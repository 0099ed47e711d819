package build

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Sizes of a disk, in bytes.
const (
	DefaultSize = 2 << 30
	minSize     = 512 << 20
	maxSize     = 16 << 40 // what ext4 has room for with blocks of 4 KiB
)

// Options say what is to be in an image.
type Options struct {
	// Release is the code name, as bookworm; empty for the host's own.
	Release string
	// Mirror is a URL of Debian's archive. Empty: what the host's own apt uses.
	Mirror string
	// Packages are installed beside those that every image has.
	Packages []string
	// Files are copied into the image, before what Run says.
	Files []File
	// Run are commands for the image's shell, in this order. They run as root inside
	// of the image, with the host's network.
	Run []string
	// Epoch is the time of the build, in seconds since 1970: no file is younger. 0:
	// when the newest of the lists of packages was published.
	Epoch int64
	// Size is that of the disk, in bytes; DefaultSize if 0. A guest makes use of a
	// larger disk by itself.
	Size int64
	// Progress is told what is being done. It may be nil.
	Progress func(what string)
	// Log is told each line that the tools print. It may be nil.
	Log func(line string)
}

// File is a file of the host's to be copied into an image.
type File struct {
	From string // path on the host
	To   string // absolute path in the image; folders are made
	Mode fs.FileMode
}

// Failures, for errors.Is. What else fails is the system's.
var (
	// ErrOptions: an option cannot be meant.
	ErrOptions = errors.New("option of the image to build")
	// ErrTools: the host lacks programs.
	ErrTools = errors.New("programs to build an image with")
	// ErrArchive: packages cannot be fetched, or are not what their signatures say.
	ErrArchive = errors.New("archive of packages")
	// ErrFull: what is to be in the image, or is needed to make it, finds no room.
	ErrFull = errors.New("no space")
	// ErrBuild: a tool failed.
	ErrBuild = errors.New("building the image failed")
)

// Error is a failure with the way out.
type Error struct {
	Kind   error // one of the above
	Detail string
	Advice string // may be empty
	Err    error  // may be nil
}

// Error is one line: what is the matter, why, what to do.
func (e *Error) Error() string {
	text := e.Detail
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

func wrong(advice, format string, args ...any) error {
	return &Error{Kind: ErrOptions, Detail: fmt.Sprintf(format, args...), Advice: advice}
}

var (
	releaseForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)
	// packageForm is a name of Debian's Policy (5.6.1), with what apt takes behind it:
	// an architecture, a version or a release, or a minus that leaves it out.
	packageForm = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?([=/][A-Za-z0-9.+:~-]+)?$`)
	mirrorForm  = regexp.MustCompile(`^(https?|file|copy)://?[^\s\[\]#]+$`)
)

// check looks at what needs no other program, and sets defaults.
func (o *Options) check() error {
	if o.Size == 0 {
		o.Size = DefaultSize
	}
	o.Size -= o.Size % alignment
	switch {
	case o.Release != "" && !releaseForm.MatchString(o.Release):
		return wrong("say a code name like bookworm", "%.60q is no release of Debian's", o.Release)
	case o.Mirror != "" && !mirrorForm.MatchString(o.Mirror):
		return wrong("give the URL of an archive, by http, https or file", "%.200q is no mirror", o.Mirror)
	case o.Epoch < 0 || o.Epoch > 1<<32-1: // what mke2fs writes has 32 bits
		return wrong("give the seconds since 1970", "%d is no time of a build", o.Epoch)
	case o.Size < minSize || o.Size > maxSize:
		return wrong(fmt.Sprintf("say %d MiB or more, and 16 TiB at most", minSize>>20), "no disk of %d bytes is made", o.Size)
	}
	for _, p := range o.Packages {
		if !packageForm.MatchString(p) {
			return wrong("give the name of one package", "%.60q is no name of a package", p)
		}
	}
	for _, f := range o.Files {
		if err := f.check(); err != nil {
			return err
		}
	}
	for _, c := range o.Run {
		if strings.TrimSpace(c) == "" || strings.ContainsRune(c, 0) {
			return wrong("give one that does something", "%.60q is no command", c)
		}
	}
	return nil
}

func (f *File) check() error {
	if !path.IsAbs(f.To) || strings.ContainsAny(f.To, "\x00\n") || path.Clean(f.To) == "/" || slices.Contains(strings.Split(f.To, "/"), "..") {
		return wrong("give an absolute path", "%.200q is no path for a file in the image", f.To)
	}
	if f.Mode&^0o7777 != 0 {
		return wrong("give one like 0644", "%o is no mode of a file", f.Mode)
	}
	return nil
}
