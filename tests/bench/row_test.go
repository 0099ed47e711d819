package bench

import (
	"fmt"
	"strings"
)

// row is one line of the table: kvmrun's samples beside those of another way.
type row struct {
	what    string
	unit    unit
	kvmrun  samples
	against string  // the other way; empty if there is none
	other   samples // of the same rounds as kvmrun's
	goal    goal
}

// ratio is that of the medians: how much of the other's kvmrun takes.
func (r row) ratio() float64 { return r.kvmrun.median() / r.other.median() }

// goal is what a row was to show. The zero value is none.
type goal struct {
	text string
	met  func(row) bool
}

// atMost is met by a ratio up to a limit.
func atMost(limit float64) goal {
	return goal{fmt.Sprintf("ratio ≤ %.2f", limit), func(r row) bool { return r.ratio() <= limit }}
}

// atLeast is met by a ratio from a limit on.
func atLeast(limit float64) goal {
	return goal{fmt.Sprintf("ratio ≥ %.2f", limit), func(r row) bool { return r.ratio() >= limit }}
}

// noise is by how much two ways that are alike differ here from one run of
// the program to the next.
const noise = 0.05

// notBehind is met by a quantity of which more is better, and that is no
// smaller than the other's apart from noise.
func notBehind() goal {
	return goal{"not behind (noise: 5 %)", func(r row) bool { return r.ratio() >= 1-noise }}
}

// notLonger is notBehind for a quantity of which less is better.
func notLonger() goal {
	return goal{"not behind (noise: 5 %)", func(r row) bool { return r.ratio() <= 1+noise }}
}

// atMostMore is met by a difference of the medians up to a limit.
func atMostMore(limit float64, u unit) goal {
	return goal{fmt.Sprintf("≤ %.0f %s more", limit/u.base, u.name),
		func(r row) bool { return r.kvmrun.median()-r.other.median() <= limit }}
}

// below is met by kvmrun's median alone.
func below(limit float64, u unit) goal {
	return goal{fmt.Sprintf("< %.0f %s", limit/u.base, u.name),
		func(r row) bool { return r.kvmrun.median() < limit }}
}

// and is met when both are.
func (g goal) and(other goal) goal {
	return goal{g.text + ", " + other.text, func(r row) bool { return g.met(r) && other.met(r) }}
}

// or is met when either is.
func (g goal) or(other goal) goal {
	return goal{g.text + " or " + other.text, func(r row) bool { return g.met(r) || other.met(r) }}
}

// table is the rows in Markdown.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| What | kvmrun | Against | which takes | Ratio | n | Goal | Met |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		against, other, ratio := "–", "–", "–"
		if r.against != "" {
			against, other = r.against, r.unit.show(r.other)
			ratios := r.kvmrun.over(r.other)
			ratio = fmt.Sprintf("%.2f %s", r.ratio(), spread(ratios))
		}
		text, met := "–", "–"
		if r.goal.met != nil {
			text, met = r.goal.text, "**no**"
			if r.goal.met(r) {
				met = "yes"
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d | %s | %s |\n",
			r.what, r.unit.show(r.kvmrun), against, other, ratio, len(r.kvmrun), text, met)
	}
	return b.String()
}

// spread is the parenthesis of [unit.show] for ratios.
func spread(ratios samples) string {
	_, after, _ := strings.Cut(times.show(ratios), " ")
	return after
}
