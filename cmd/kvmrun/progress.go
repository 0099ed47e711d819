package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// Progress is shown once something has taken this long, and as often.
const progressInterval = 250 * time.Millisecond

// eraseLine returns to the line's beginning and clears it (ECMA-48, EL).
const eraseLine = "\r\x1b[K"

// busy shows on a terminal what is waited for and for how long, until the
// returned function is called. In a pipe it is silent.
func (a *app) busy(format string, args ...any) (done func()) {
	what := fmt.Sprintf(format, args...)
	return a.show(func(begin time.Time) string {
		return fmt.Sprintf("%s … %d s", what, int(time.Since(begin).Seconds()))
	})
}

// counting is busy for what is counted in bytes: tell says what is done and how far
// that is. A total of 0 is not known. It may be called as often as one likes.
func (a *app) counting() (tell func(what string, done, total int64), done func()) {
	type state struct {
		what        string
		done, total int64
	}
	var now atomic.Pointer[state]
	done = a.show(func(time.Time) string {
		s := now.Load()
		switch {
		case s == nil:
			return "beginning …"
		case s.total <= 0:
			return fmt.Sprintf("%s … %s", s.what, sizeText(s.done))
		}
		return fmt.Sprintf("%s … %d %% of %s", s.what, int(float64(s.done)/float64(s.total)*100), sizeText(s.total))
	})
	return func(what string, done, total int64) { now.Store(&state{what, done, total}) }, done
}

// show writes a line to a terminal now and then, until the returned function is
// called. In a pipe it is silent.
func (a *app) show(line func(begin time.Time) string) (done func()) {
	if f, ok := a.err.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		a.tick(line, stop)
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// tick writes the line again and again, and leaves the terminal as it was.
func (a *app) tick(line func(begin time.Time) string, stop <-chan struct{}) {
	begin := time.Now()
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_, _ = fmt.Fprint(a.err, eraseLine+harmless(line(begin)))
		case <-stop:
			_, _ = fmt.Fprint(a.err, eraseLine)
			return
		}
	}
}

// sizeText is an amount of bytes for people, of three digits or four.
func sizeText(bytes int64) string {
	if bytes < 1<<10 {
		return fmt.Sprintf("%d B", bytes)
	}
	size, unit := float64(bytes), 0
	for size >= 1023.5 && unit < len(sizeUnits) {
		size, unit = size/1024, unit+1
	}
	if size < 9.95 {
		return fmt.Sprintf("%.1f %s", size, sizeUnits[unit-1])
	}
	return fmt.Sprintf("%.0f %s", size, sizeUnits[unit-1])
}

var sizeUnits = []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
