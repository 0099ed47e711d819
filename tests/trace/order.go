package trace

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// Role is what a process is to kvmrun.
type Role string

// The roles.
const (
	Command    Role = "command"    // the one that the order names
	Supervisor Role = "supervisor" // kvmrun supervise
	// Neighbour is a supervisor that ran before, where an order tells those from
	// the ones that are hired meanwhile.
	Neighbour Role = "neighbour"
	QEMU      Role = "QEMU"
	Dnsmasq   Role = "dnsmasq"
	// Caller stands, among the victims, for the process that makes the call,
	// where several have its role.
	Caller Role = "caller"
)

// Order is what a tracer is to do.
type Order struct {
	Command []string `json:"command"` // the program, by its path, and its arguments
	// Trigger is whose calls are counted, At the number of the one at whose
	// entry the processes of all roles in Victims are killed. Zero: only count.
	Trigger Role   `json:"trigger,omitempty"`
	At      int    `json:"at,omitempty"`
	Victims []Role `json:"victims,omitempty"`
	// Running is the role of the supervisors that run already, Supervisor or
	// Neighbour. Empty: they are not followed.
	Running Role `json:"running,omitempty"`
	// Report is the file that the Report goes to.
	Report string `json:"report"`
}

// Report is what became of an order.
type Report struct {
	// Reached says that the call of the order was come to: it is the last of
	// its role in Calls.
	Reached bool   `json:"reached"`
	Calls   []Call `json:"calls"` // in the order of their entries
	// Exit is the command's exit status, -1 if a signal ended it.
	Exit int `json:"exit"`
}

// Count is the number of calls that somebody made.
func (r *Report) Count(by Role) int {
	n := 0
	for _, c := range r.Calls {
		if c.By == by {
			n++
		}
	}
	return n
}

// Last is the last call that somebody made, for messages.
func (r *Report) Last(by Role) string {
	for _, c := range slices.Backward(r.Calls) {
		if c.By == by {
			return c.String()
		}
	}
	return "no call at all"
}

// orderVariable tells a copy of the test binary that it is a tracer, and what
// to do, in JSON.
const orderVariable = "KVMRUN_TRACE_ORDER"

// Environment is the variable by which a copy of the test binary carries out
// the order. The command gets the environment but for that, the standard
// streams, and the working directory of the copy, whose exit status says
// whether the tracing succeeded.
func (o Order) Environment() (string, error) {
	text, err := json.Marshal(o)
	return orderVariable + "=" + string(text), err
}

// Main carries out an order and does not return, in a copy of the test binary
// that got one. Otherwise it does nothing.
func Main() {
	text := os.Getenv(orderVariable)
	if text == "" {
		return
	}
	if err := obey(text); err != nil {
		fmt.Fprintf(os.Stderr, "trace: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func obey(text string) error {
	var o Order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	if err := os.Unsetenv(orderVariable); err != nil {
		return err
	}
	report, err := follow(o)
	if err != nil {
		return err
	}
	result, err := json.Marshal(report)
	if err != nil {
		return err
	}
	return os.WriteFile(o.Report, result, 0o644)
}

// ReadReport reads what a tracer has written.
func ReadReport(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	return r, json.Unmarshal(text, r)
}
