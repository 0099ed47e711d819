package bench

import (
	"fmt"
	"slices"
	"time"
)

// samples are measurements of one thing in its base unit: seconds, bytes, or
// bits per second.
type samples []float64

// median is the middle one, or the mean of the middle two.
func (s samples) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// over divides the samples of s by those of other, round by round.
func (s samples) over(other samples) samples {
	ratios := make(samples, 0, len(s))
	for i := range min(len(s), len(other)) {
		ratios = append(ratios, s[i]/other[i])
	}
	return ratios
}

// unit is how a quantity is printed.
type unit struct {
	name   string
	base   float64 // one of this unit in base units
	digits int
}

var (
	microseconds = unit{"µs", 1e-6, 0}
	milliseconds = unit{"ms", 1e-3, 1}
	seconds      = unit{"s", 1, 2}
	megabytes    = unit{"MB", 1e6, 2}
	gigabits     = unit{"Gbit/s", 1e9, 2}
	times        = unit{"", 1, 2}
)

// show prints the median, and the least and the greatest in parentheses.
func (u unit) show(s samples) string {
	if len(s) == 0 {
		return "–"
	}
	name := u.name
	if name != "" {
		name = " " + name
	}
	return fmt.Sprintf("%.*f%s (%.*f–%.*f)", u.digits, s.median()/u.base, name,
		u.digits, slices.Min(s)/u.base, u.digits, slices.Max(s)/u.base)
}

// taking is how long f takes, in seconds.
func taking(f func()) float64 {
	start := time.Now()
	f()
	return time.Since(start).Seconds()
}
