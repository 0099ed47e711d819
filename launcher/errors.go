package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"kvmrun/images"
	"kvmrun/images/build"
	"kvmrun/images/fetch"
	"kvmrun/images/store"
	"kvmrun/netplumb"
)

// Kind sorts failures by what a caller would do about them. Each has its own
// exit status on the command line.
type Kind string

// The kinds of failure.
const (
	KindInternal   Kind = "internal"   // none of the others
	KindUsage      Kind = "usage"      // a value that cannot be meant
	KindNotFound   Kind = "not-found"  // no VM or image of that name
	KindExists     Kind = "exists"     // the name is taken
	KindPermission Kind = "permission" // not root, or a file that root may not use
	KindHost       Kind = "host"       // the host lacks something: QEMU, /dev/net/tun, KVM
	KindImage      Kind = "image"      // the disk image cannot be used
	KindImageInUse Kind = "image-used" // the disk image is in use
	KindAddress    Kind = "address"    // the address is malformed, outside, reserved or taken
	KindNetwork    Kind = "network"    // the subnet or the uplink does not fit this host
	KindQEMU       Kind = "qemu"       // QEMU ended, or never spoke
	KindTimeout    Kind = "timeout"    // the condition was not met in time
	KindStorage    Kind = "storage"    // the run or data directory cannot be written
	KindEnded      Kind = "ended"      // the VM ended before the condition was met
	KindBoot       Kind = "boot"       // the guest failed to boot, or its kernel panicked
	KindFetch      Kind = "fetch"      // a download failed, or a file is not what its checksum says
	KindGuest      Kind = "guest"      // nobody in the guest can be talked to, or it refuses
	KindCloudInit  Kind = "cloud-init" // cloud-init has failed in the guest
	KindCanceled   Kind = "canceled"   // the caller gave up, as by Ctrl-C
)

// Error is a failure with its kind and, where there is one, the way out.
type Error struct {
	Kind   Kind
	Op     string // what was attempted, on what: "start web"
	Err    error  // why it failed
	Advice string // what to do; may be empty
}

// Error is one line: what was attempted, why it failed, what to do.
func (e *Error) Error() string {
	text := e.Err.Error()
	if e.Op != "" {
		text = e.Op + ": " + text
	}
	// The cause may be a text that ends with the same advice, as the reason does
	// for which a VM failed.
	if e.Advice != "" && !strings.HasSuffix(text, e.Advice) {
		text += "; " + e.Advice
	}
	return text
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of any error of this package's.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return classify(err)
}

// fail makes an Error from a formatted cause.
func fail(kind Kind, advice, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...), Advice: advice}
}

// during says what was attempted when err happened. An Error keeps its kind
// and advice, also beside others; any other error is sorted by its cause.
func during(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Op != "" {
			return err
		}
		cause := e.Err
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			cause = allOf(e, several.Unwrap())
		}
		return &Error{Kind: e.Kind, Op: op, Err: cause, Advice: e.Advice}
	}
	if hasAdvice(err) {
		return &Error{Kind: classify(err), Op: op, Err: err}
	}
	kind := classify(err)
	if kind == KindCanceled {
		err = interrupted{err}
	}
	return &Error{Kind: kind, Op: op, Err: err, Advice: wayOut[kind]}
}

// interrupted is a context's end in words for people.
type interrupted struct{ error }

func (interrupted) Error() string { return "interrupted" }

// Unwrap gives the cause to errors.Is.
func (i interrupted) Unwrap() error { return i.error }

// allOf is the cause of an Error with the errors that came with it, in one line.
func allOf(first *Error, errs []error) error {
	cause := first.Err
	for _, err := range errs {
		var e *Error
		if errors.As(err, &e) && e == first {
			continue
		}
		cause = fmt.Errorf("%w; and %w", cause, err)
	}
	return cause
}

// hasAdvice tells whether an error of the packages below says by itself what
// to do.
func hasAdvice(err error) bool {
	var image *images.Error
	var fetched *fetch.Error
	var built *build.Error
	return errors.As(err, &image) || errors.As(err, &fetched) || errors.As(err, &built) || errors.Is(err, netplumb.ErrPermission)
}

// wayOut is the advice for failures of the system's own, which bring none.
var wayOut = map[Kind]string{
	KindStorage:    "free some space, or choose other folders by --run-dir and --data-dir",
	KindPermission: "run it by sudo",
}

// During is during for the supervisor.
func During(op string, err error) error { return during(op, err) }

// classify sorts the errors of the packages below.
func classify(err error) Kind {
	var image *images.Error
	var fetched *fetch.Error
	var built *build.Error
	switch {
	case errors.As(err, &built):
		return classifyBuild(built)
	case errors.As(err, &image):
		return classifyImage(err)
	case errors.As(err, &fetched):
		return classifyFetch(fetched)
	case errors.Is(err, context.Canceled):
		return KindCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return KindTimeout
	case errors.Is(err, netplumb.ErrNoTun):
		return KindHost
	case errors.Is(err, netplumb.ErrPermission):
		return KindPermission
	case errors.Is(err, netplumb.ErrAddressInvalid), errors.Is(err, netplumb.ErrAddressOnHost), errors.Is(err, netplumb.ErrAddressRouted),
		errors.Is(err, netplumb.ErrSubnetFull):
		return KindAddress
	case errors.Is(err, netplumb.ErrSubnetOverlap), errors.Is(err, netplumb.ErrNoUplink),
		errors.Is(err, netplumb.ErrTapExists):
		return KindNetwork
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS),
		errors.Is(err, syscall.ENOTDIR):
		return KindStorage
	case errors.Is(err, fs.ErrPermission):
		return KindPermission
	}
	return KindInternal
}

// imageKinds sort what is wrong with an image, if it is not the image itself.
var imageKinds = []struct {
	is   error
	kind Kind
}{
	{images.ErrPermission, KindPermission}, {images.ErrInUse, KindImageInUse},
	{store.ErrNoImage, KindNotFound}, {store.ErrExists, KindExists}, {store.ErrName, KindUsage},
	{store.ErrRecord, KindStorage}, {store.ErrNoConverter, KindHost},
	{store.ErrConverterDied, KindImage},
}

func classifyImage(err error) Kind {
	for _, k := range imageKinds {
		if errors.Is(err, k.is) {
			return k.kind
		}
	}
	return KindImage
}

// errorText is an Error on its way from the supervisor to whoever waits.
type errorText struct {
	Kind   Kind   `json:"kind"`
	Op     string `json:"op,omitempty"`
	Text   string `json:"error"`
	Advice string `json:"advice,omitempty"`
}

// MarshalJSON writes the error as an object with kind, op, error and advice.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(errorText{e.Kind, e.Op, e.Err.Error(), e.Advice})
}

// UnmarshalJSON reads what MarshalJSON wrote. The cause is a plain text then.
func (e *Error) UnmarshalJSON(text []byte) error {
	var t errorText
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	*e = Error{Kind: t.Kind, Op: t.Op, Err: errors.New(t.Text), Advice: t.Advice}
	return nil
}
