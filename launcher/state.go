package launcher

import (
	"fmt"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/netplumb"
)

// Phase is where a VM is in its life.
type Phase string

// The phases. A VM that ended as it was asked to has none: its folder is gone.
const (
	Starting Phase = "starting" // the host is being prepared, QEMU comes up
	Running  Phase = "running"  // QEMU executes the guest
	Paused   Phase = "paused"   // QEMU is there, the guest stands still
	Stopping Phase = "stopping" // QEMU was asked to end, or has ended
	Failed   Phase = "failed"   // over; Reason says why; only the record is left
	// Stopped is never written down: nothing is left of a VM but disks that are kept.
	Stopped Phase = "stopped"
	// Dead is never written down: it is what others see when QEMU has ended
	// and no supervisor has been there to clean up.
	Dead Phase = "dead"
)

// moves are the legal steps from phase to phase.
var moves = map[Phase][]Phase{
	"":       {Starting},
	Starting: {Running, Paused, Stopping, Failed},
	Running:  {Paused, Stopping, Failed},
	Paused:   {Running, Stopping, Failed},
	Stopping: {Failed},
}

// State is what is known of a VM beyond its Spec; its supervisor writes it.
type State struct {
	Version     int            `json:"version"`
	Phase       Phase          `json:"phase"`
	Reason      string         `json:"reason,omitempty"`   // why it failed, or stands still though nobody wanted that
	Leftover    string         `json:"leftover,omitempty"` // why not all could be undone
	Created     time.Time      `json:"created"`
	Started     time.Time      `json:"started,omitzero"`   // QEMU ran
	Reachable   time.Time      `json:"reachable,omitzero"` // the guest first answered at its address in this boot
	Agent       time.Time      `json:"agent,omitzero"`     // since when the guest's agent has had its port open; zero if it has not
	Boot        PresentBoot    `json:"boot,omitzero"`
	Conflict    *Conflict      `json:"conflict,omitempty"` // nil while nobody else claims its address
	Supervisor  process.ID     `json:"supervisor,omitzero"`
	QEMU        process.ID     `json:"qemu,omitzero"`
	Dnsmasq     process.ID     `json:"dnsmasq,omitzero"`
	TPM         process.ID     `json:"tpm,omitzero"`     // swtpm
	Shares      []process.ID   `json:"shares,omitempty"` // virtiofsds, in the order of the description's
	QEMUVersion string         `json:"qemu_version,omitempty"`
	Command     []string       `json:"command,omitempty"` // QEMU's arguments, as it was started
	Vhost       bool           `json:"vhost"`
	Plan        *netplumb.Plan `json:"plan,omitempty"`
	Resumed     Attempt        `json:"resumed,omitzero"`
	Paused      Attempt        `json:"paused,omitzero"`
	Reset       Attempt        `json:"reset,omitzero"`
	Linked      Attempt        `json:"linked,omitzero"`
	LinkDown    bool           `json:"link_down,omitempty"` // the guest's card is without its cable
}

// PresentBoot is what is known of a guest's present boot, which began when the VM was started
// or last reset, by whomever.
type PresentBoot struct {
	Resets   int       `json:"resets,omitempty"`  // how often it was reset before
	Console  int64     `json:"console,omitempty"` // where in the console's log it begins, in bytes, or a little before
	Panicked time.Time `json:"panicked,omitzero"` // the guest's kernel told QEMU that it had
}

// Attempt is what came of the latest request of a kind to the VM's supervisor.
type Attempt struct {
	Number int    `json:"number"`          // from 1 on
	Error  *Error `json:"error,omitempty"` // nil: it was done
}

// Conflict is a machine of the LAN that claims the VM's address.
type Conflict struct {
	// MAC is what the machine says it has, in the usual form; it may be one that
	// no machine can have.
	MAC   string    `json:"mac"`
	Since time.Time `json:"since"`
}

// StateVersion is the version of State that this kvmrun writes.
const StateVersion = 1

// Move goes to another phase; a step that makes no sense is an error.
func (s *State) Move(to Phase) error {
	for _, legal := range moves[s.Phase] {
		if legal == to {
			s.Phase = to
			return nil
		}
	}
	return fmt.Errorf("a VM that is %s cannot become %s", s.Phase, to)
}
