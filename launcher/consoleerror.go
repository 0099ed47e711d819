package launcher

import "errors"

// ConsoleError is a failure of a VM's, with what its console said last.
type ConsoleError struct {
	Err   error
	Name  string   // the VM's
	Lines []string // the oldest first. They are the guest's: a terminal may obey them
}

// Error is the failure, without the console's lines.
func (e *ConsoleError) Error() string { return e.Err.Error() }

// Unwrap gives the cause to errors.Is and errors.As.
func (e *ConsoleError) Unwrap() error { return e.Err }

// Consoles finds the ConsoleErrors in an error that may be several VMs'.
func Consoles(err error) (found []*ConsoleError) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			found = append(found, Consoles(one)...)
		}
		return found
	}
	var e *ConsoleError
	if errors.As(err, &e) {
		return []*ConsoleError{e}
	}
	return nil
}
