package qmp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Reasons for which a monitor cannot be opened or used. Errors of this package
// wrap them; test with errors.Is.
var (
	// ErrClosed says that the client was closed on this side, by Close.
	ErrClosed = errors.New("monitor connection is closed")

	// ErrHangup says that QEMU closed its end: it quit, crashed or was killed.
	ErrHangup = errors.New("QEMU closed the monitor")

	// ErrBusy says that the socket took the connection (or its queue is full
	// already) but that no greeting came before the context's deadline.
	ErrBusy = errors.New("the monitor does not greet: another client holds it (QEMU serves one at a time: " +
		"close that one or use another monitor socket) or QEMU has not reached its main loop")

	// ErrNotQMP says that the peer's first words are no QMP greeting.
	ErrNotQMP = errors.New("peer is not a QMP monitor")

	// ErrProtocol says that the peer sent what QMP does not allow. The
	// connection ends with it, because nothing after it can be trusted.
	ErrProtocol = errors.New("peer broke the QMP protocol")

	// ErrStalled says that MaxUnanswered commands await their replies already.
	ErrStalled = fmt.Errorf("%d commands are unanswered: QEMU hangs, or the caller asks faster than it answers", MaxUnanswered)
)

// Error classes of QMP (QapiErrorClass in QEMU's qapi/error.json).
const (
	ClassGenericError    = "GenericError"
	ClassCommandNotFound = "CommandNotFound"
	ClassDeviceNotActive = "DeviceNotActive"
	ClassDeviceNotFound  = "DeviceNotFound"
	ClassKVMMissingCap   = "KVMMissingCap"
)

// A CommandError is QEMU's refusal of a command. Errors of Execute and its
// siblings wrap it; get at it with errors.As.
type CommandError struct {
	Command     string // the command that failed
	Class       string // one of the Class constants, or what a newer QEMU sends
	Description string // for people, as QEMU sent it; may hold any character
}

// Error implements error. Control characters in QEMU's words are replaced, so
// that the message may go to a terminal.
func (e *CommandError) Error() string {
	msg := fmt.Sprintf("qmp: %s: %s", e.Command, printable(e.Description))
	if e.Class == ClassGenericError {
		return msg
	}
	return fmt.Sprintf("%s (%s)", msg, printable(e.Class))
}

// HasClass reports whether err is, or wraps, a CommandError of the given class.
func HasClass(err error, class string) bool {
	var ce *CommandError
	return errors.As(err, &ce) && ce.Class == class
}

// printable shortens words of the peer to what fits an error message and
// replaces what a terminal could mistake for a command.
func printable(s string) string {
	const most = 4096
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// contextError is the reason for which ctx ended: its Err, so that errors.Is
// finds Canceled or DeadlineExceeded, and its Cause where that says more.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// protocolError describes a message of the peer that cannot be understood.
func protocolError(line []byte, problem error) error {
	const most = 60
	if len(line) > most {
		line = line[:most]
	}
	return fmt.Errorf("%w: message beginning %q: %w", ErrProtocol, line, problem)
}
