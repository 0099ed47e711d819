package supervisor

import (
	"fmt"
	"testing"
	"time"
)

// TestDisputes tells who is told of when rivals claim an address, by the seconds
// at which they do.
func TestDisputes(t *testing.T) {
	type claim struct {
		at    int
		rival string
		told  bool
	}
	for name, c := range map[string]struct {
		claims []claim
		over   int // the second at which it is, not before
	}{
		"one claim":                      {[]claim{{0, "a", true}}, 60},
		"one rival, once":                {[]claim{{0, "a", true}, {1, "a", false}, {30, "a", false}}, 90},
		"another rival waits for a word": {[]claim{{0, "a", true}, {5, "b", false}, {10, "b", true}, {11, "a", false}}, 71},
		"both go on":                     {[]claim{{0, "a", true}, {20, "b", true}, {40, "a", false}, {70, "b", false}}, 130},
		"only the one not told of":       {[]claim{{0, "a", true}, {1, "b", false}}, 61},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(1000, 0)
			at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
			d := newGuard().dispute
			for _, claim := range c.claims {
				if told := d.claim(claim.rival, at(claim.at)); told != claim.told {
					t.Errorf("%s at %d s: told of %v, want %v", claim.rival, claim.at, told, claim.told)
				}
			}
			if left := d.left(at(c.over - 1)); left != time.Second {
				t.Errorf("a second before its end %v is left", left)
			}
			if left := d.left(at(c.over)); left != 0 {
				t.Errorf("%v is left at its end", left)
			}
			if !d.claim("a", at(c.over+1)) {
				t.Error("when it begins anew the rival is not told of")
			}
		})
	}
}

func TestDisputeWithMadeUpRivalsIsBounded(t *testing.T) {
	d := newGuard().dispute
	told := 0
	for i := range 1000 {
		if d.claim(fmt.Sprint(i), time.Unix(int64(i)*20, 0)) {
			told++
		}
	}
	if told != maxRivals || len(d.rivals) != maxRivals {
		t.Errorf("told of %d rivals and remembers %d, want %d", told, len(d.rivals), maxRivals)
	}
}

func TestDisputeIsResumed(t *testing.T) {
	d := newGuard().dispute
	d.resume("a", time.Unix(1000, 0))
	if d.claim("a", time.Unix(1001, 0)) {
		t.Error("a rival that the last supervisor told of is told of again")
	}
	if !d.claim("b", time.Unix(1020, 0)) {
		t.Error("another rival is not told of")
	}
}
