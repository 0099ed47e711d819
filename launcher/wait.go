package launcher

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"kvmrun/launcher/vmdir"
)

// Waited is what came of a wait for a VM.
type Waited struct {
	Name       string `json:"name"`
	UUID       string `json:"uuid,omitempty"`
	Conditions []Met  `json:"conditions"`
	Error      *Error `json:"error,omitempty"` // nil: all are met
	// Console is what the console said last, if that may tell why not all are met.
	Console []string `json:"console,omitempty"`
}

// Met is a condition and whether it was met.
type Met struct {
	For string    `json:"for"`
	At  time.Time `json:"at,omitzero"` // since when it is so, or when that was seen; zero if it was not
}

// WaitEach waits for VMs side by side, until each has met all conditions, at whatever
// time. The first that fails ends it. What came of each is in the order of the names.
func (l *Launcher) WaitEach(ctx context.Context, names []string, conditions []Condition) ([]Waited, error) {
	together, giveUp := context.WithCancel(ctx)
	defer giveUp()
	all := make([]Waited, len(names))
	errs := make([]error, len(names))
	var vms sync.WaitGroup
	for i, name := range names {
		vms.Go(func() {
			if all[i], errs[i] = l.WaitFor(together, VM{Name: name}, conditions...); errs[i] != nil {
				giveUp()
			}
		})
	}
	vms.Wait()
	for i, err := range errs {
		if KindOf(err) == KindCanceled && ctx.Err() == nil {
			errs[i], all[i].Error = nil, fail(KindCanceled, "", "another VM's wait has failed first")
		}
	}
	return all, errors.Join(errs...)
}

// WaitFor returns when the VM that is vm has met all conditions; another
// that has its name by now means that it has ended. Without a Run it is whichever has
// the name now. It fails with KindEnded if the VM ends before, with KindBoot if its
// guest fails to boot, and with KindTimeout or KindCanceled when the context ends. If
// the end itself is waited for, and it was not as it should be, that is an error as
// HowEnded's. Except for the context's end there is a ConsoleError in it.
func (l *Launcher) WaitFor(ctx context.Context, vm VM, conditions ...Condition) (Waited, error) {
	w := newWait(vm, conditions)
	err := during("wait for "+describe(conditions)+" of "+printableName(vm.Name), w.run(ctx, l))
	return w.outcome(err), err
}

// wait is one wait for one VM.
type wait struct {
	vm         VM // its name, and which it is as soon as that is known
	conditions []*pending
	console    console
	boot       bootWatch
	attended   time.Time     // when the VM was last given a supervisor
	nudge      chan struct{} // tells that an answer has come
}

func newWait(vm VM, conditions []Condition) *wait {
	w := &wait{vm: vm, nudge: make(chan struct{}, 1)}
	for _, c := range conditions {
		w.conditions = append(w.conditions, &pending{Condition: c})
	}
	return w
}

func (w *wait) run(ctx context.Context, l *Launcher) error {
	dir, err := l.dir(w.vm.Name)
	if err != nil {
		return err
	}
	w.console.path = dir.File(vmdir.ConsoleLog)
	defer w.console.close()
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	err = l.watchBeside(ctx, dir, w.vm.Run, w.nudge, func(vm *Details) (bool, error) {
		w.attend(l, vm)
		return w.look(asking, l, vm)
	})
	cancel()
	for _, p := range w.conditions {
		p.lastAnswer()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fail(KindTimeout, "see kvmrun logs "+w.vm.Name, "not so in time: %s", w.unmet())
	case KindOf(err) == KindEnded && w.onlyEndIsLeft():
		w.meetEnd()
		err = l.HowEnded(w.vm)
	}
	return w.boot.quote(w.vm.Name, err)
}

// attend puts a supervisor on a VM that has lost its own: what is waited for may stand
// in the record only if somebody writes it there.
func (w *wait) attend(l *Launcher, vm *Details) {
	if vm == nil || vm.Supervised || vm.over() != nil || time.Since(w.attended) < HomeInterval {
		return
	}
	w.attended = time.Now()
	l.attendBeside(w.vm.Name)
}

// look takes what is new about the VM, and tells whether all conditions are met.
func (w *wait) look(ctx context.Context, l *Launcher, vm *Details) (bool, error) {
	if vm != nil {
		w.vm.UUID, w.vm.Run = vm.UUID, vm.Run
		if w.boot.isAnother(vm) {
			listens := w.listen()
			w.console.restart(vm.Details.Boot.Console, !listens && !w.boot.believes)
		}
	}
	for _, p := range w.conditions {
		if vm != nil {
			p.readRecord(vm)
			p.askOnce(ctx, l, vm, w.nudge)
		}
		p.takeAnswer()
	}
	if w.all() {
		return true, nil
	}
	if err := w.settled(); err != nil {
		return false, errors.Join(err, w.console.read(w.hear)) // what it said last is wanted
	}
	if err := w.console.read(w.hear); err != nil {
		return false, err
	}
	if w.all() {
		return true, nil
	}
	return false, w.boot.failed(vm)
}

// settled is that one of the conditions will not come to be met.
func (w *wait) settled() error {
	for _, p := range w.conditions {
		if final := (*finalError)(nil); errors.As(p.why, &final) {
			return final.error
		}
	}
	return nil
}

// listen begins to look for what the console is to say, and tells whether that is
// anything.
func (w *wait) listen() (something bool) {
	for _, p := range w.conditions {
		if p.console != nil {
			p.search = &search{pattern: p.console}
			something = true
		}
	}
	return something
}

// hear takes what the console has said.
func (w *wait) hear(text []byte) {
	w.boot.console.Take(text)
	for _, p := range w.conditions {
		p.hear(text)
	}
}

// all tells whether all conditions are met.
func (w *wait) all() bool {
	return !slices.ContainsFunc(w.conditions, func(p *pending) bool { return p.met.IsZero() })
}

// onlyEndIsLeft tells whether the VM's end is all that was still waited for.
func (w *wait) onlyEndIsLeft() bool {
	return !slices.ContainsFunc(w.conditions, func(p *pending) bool { return p.met.IsZero() && !p.Is(WaitExit) })
}

// meetEnd notes that the VM has ended.
func (w *wait) meetEnd() {
	for _, p := range w.conditions {
		if p.Is(WaitExit) {
			p.met = time.Now()
		}
	}
}

// unmet lists what is not so.
func (w *wait) unmet() string {
	var list []string
	for _, p := range w.conditions {
		if p.met.IsZero() {
			list = append(list, p.unmet())
		}
	}
	return strings.Join(list, ", ")
}

// outcome is what came of it all.
func (w *wait) outcome(err error) Waited {
	out := Waited{Name: w.vm.Name, UUID: w.vm.UUID, Conditions: []Met{}}
	for _, p := range w.conditions {
		met := Met{For: p.text}
		if !p.met.IsZero() {
			met.At = p.met.UTC()
		}
		out.Conditions = append(out.Conditions, met)
	}
	errors.As(err, &out.Error)
	for _, c := range Consoles(err) {
		out.Console = c.Lines
	}
	return out
}
