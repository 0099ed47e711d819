package main

import (
	"fmt"
	"os"
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
	if f, ok := a.err.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	what := fmt.Sprintf(format, args...)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		a.tick(what, stop)
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// tick writes the line again and again, and leaves the terminal as it was.
func (a *app) tick(what string, stop <-chan struct{}) {
	begin := time.Now()
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_, _ = fmt.Fprintf(a.err, "%s%s … %d s", eraseLine, what, int(time.Since(begin).Seconds()))
		case <-stop:
			_, _ = fmt.Fprint(a.err, eraseLine)
			return
		}
	}
}
