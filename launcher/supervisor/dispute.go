package supervisor

import (
	"slices"
	"time"
)

// dispute follows who on the LAN claims the address that is the VM's. The zero
// dispute, its times set, is one that nobody has begun.
type dispute struct {
	quiet time.Duration // nobody has claimed it for so long: it is over
	pause time.Duration // between two rivals that are told of

	claimed time.Time // last; zero while nobody does
	told    time.Time // when a rival was told of last
	rivals  []string  // who were told of
}

// The times of a dispute.
const (
	disputeQuiet = time.Minute
	disputePause = 10 * time.Second
)

// maxRivals bounds how many rivals of one dispute are told of: a machine can
// make up as many as it likes.
const maxRivals = 16

// claim notes that a rival claims the address. It reports whether to tell of
// that: once for each rival, and no two rivals at once.
func (d *dispute) claim(rival string, now time.Time) (tell bool) {
	d.claimed = now
	if slices.Contains(d.rivals, rival) || len(d.rivals) == maxRivals {
		return false
	}
	if len(d.rivals) > 0 && now.Sub(d.told) < d.pause {
		return false
	}
	d.rivals, d.told = append(d.rivals, rival), now
	return true
}

// resume takes up a dispute that another supervisor has told of.
func (d *dispute) resume(rival string, now time.Time) {
	d.claimed, d.told, d.rivals = now, now, []string{rival}
}

// left is how long nobody must claim the address for the dispute to be over. At
// zero it is, and forgotten.
func (d *dispute) left(now time.Time) time.Duration {
	left := d.quiet - now.Sub(d.claimed)
	if left > 0 {
		return left
	}
	d.claimed, d.rivals = time.Time{}, nil
	return 0
}
