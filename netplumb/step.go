package netplumb

import "fmt"

// step is one thing that a plan does.
type step interface {
	// String says what is done, on what: "route to 10.254.254.2 by tap0".
	fmt.Stringer
	// apply does it, given the tap's interface number; again where something
	// of it is no longer as it should be.
	apply(h *Host, tap int) error
	// undo takes it back: after a whole apply, a part of one or none at all.
	// It leaves alone what is not kvmrun's. Steps on the tap but the first
	// have nothing to do: theirs goes with the tap.
	undo(h *Host) error
	// check compares what should be with what is.
	check(h *Host) (want, have string, err error)
	// shell returns the same as commands for sh.
	shell() Commands
}

// Commands is what a step does and undoes, as commands for sh.
type Commands struct {
	// Step says in words what is done, on what.
	Step string `json:"step"`
	// Do and Undo are complete commands. Undo may use shell variables that Do
	// has set, so both must run in one shell, and is empty where the deletion
	// of the tap undoes the step.
	Do   []string `json:"do"`
	Undo []string `json:"undo,omitempty"`
}
