package launcher

import (
	"context"
	"fmt"
	"time"
)

// pending is one condition of a wait, and how far it has come. It belongs to the wait's
// own goroutine.
type pending struct {
	Condition
	met     time.Time   // since when it is so, or when that was seen; zero if it was not
	search  *search     // in what the console says; nil for no matter
	answers chan answer // of whoever was asked; nil if nobody was
	why     error       // why it is not so, as far as known
}

// answer is what came of asking.
type answer struct {
	at  time.Time
	err error // why it is not so
}

// readRecord looks whether the condition stands in the VM's record.
func (p *pending) readRecord(vm *Details) {
	switch {
	case !p.met.IsZero():
	case p.Is(WaitNone):
		p.met = time.Now()
	case p.Is(WaitRunning) && (vm.State == Running || vm.State == Paused):
		p.met = vm.Started
		setDefault(&p.met, time.Now()) // its supervisor was killed before it could say
	case p.Is(WaitNet):
		p.met = vm.Reachable
	}
}

// hear looks in what the console has said for the first time.
func (p *pending) hear(text []byte) {
	if p.search != nil && p.met.IsZero() && p.search.take(text) {
		p.met = time.Now()
	}
}

// askOnce asks whoever can be asked by now. The answer comes with a nudge.
func (p *pending) askOnce(ctx context.Context, l *Launcher, vm *Details, nudge chan<- struct{}) {
	if p.ask == nil || p.answers != nil || !p.begins(vm) {
		return
	}
	p.answers = make(chan answer, 1)
	go func() {
		err := p.ask(ctx, l, vm)
		p.answers <- answer{time.Now(), err}
		select {
		case nudge <- struct{}{}:
		default:
		}
	}()
}

// takeAnswer takes the answer if there is one.
func (p *pending) takeAnswer() {
	select {
	case a := <-p.answers:
		if p.why = a.err; a.err == nil {
			p.met = a.at
		}
	default:
	}
}

// lastAnswer waits for whoever was asked to give up.
func (p *pending) lastAnswer() {
	if p.answers != nil && p.met.IsZero() && p.why == nil {
		p.why = (<-p.answers).err
	}
}

// unmet names the condition, with the reason why it is not so where one is known.
func (p *pending) unmet() string {
	if p.why != nil {
		return fmt.Sprintf("%s (%v)", p.Condition, p.why)
	}
	return p.String()
}
