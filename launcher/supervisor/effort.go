package supervisor

import "time"

// How much is done about one thing that somebody else keeps changing: a few
// repairs within a while, then a pause, which doubles as long as it goes on.
const (
	effortWindow = 10 * time.Second
	effortMost   = 4
	longestPause = time.Minute
)

// efforts remembers how often each step of a plan was repaired lately, so that
// two programs which disagree do not keep the processor busy.
type efforts map[string]*effort

type effort struct {
	count int           // of repairs in the window
	since time.Time     // the window's beginning
	last  time.Time     // of the repairs
	until time.Time     // the pause's end; zero if there is none
	pause time.Duration // the next one's length
}

// may tells whether a step may be repaired now, and counts it if so.
func (e efforts) may(step string, now time.Time) bool {
	f := e[step]
	if f == nil {
		f = &effort{since: now, pause: effortWindow}
		e[step] = f
	}
	switch {
	case now.Before(f.until):
		return false
	case !f.until.IsZero(): // the pause is over
		f.count, f.since, f.until = 0, now, time.Time{}
	case now.Sub(f.since) > effortWindow:
		*f = effort{since: now, pause: effortWindow}
	}
	if f.count == effortMost {
		f.until = now.Add(f.pause)
		f.pause = min(2*f.pause, longestPause)
		return false
	}
	f.count++
	f.last = now
	return true
}

// contested tells whether somebody keeps changing a step.
func (e efforts) contested(step string) bool {
	f := e[step]
	return f != nil && f.pause > effortWindow
}

// settled returns the contested steps that have been left in peace for a while,
// and forgets all that have.
func (e efforts) settled(now time.Time) (steps []string) {
	for step, f := range e {
		if now.Sub(f.last) <= effortWindow || now.Before(f.until) {
			continue
		}
		if e.contested(step) {
			steps = append(steps, step)
		}
		delete(e, step)
	}
	return steps
}
