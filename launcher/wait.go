package launcher

import (
	"context"
	"errors"
	"fmt"
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

// WaitFor returns when the VM with vm's name and UUID has met all conditions; another
// that has its name by now means that it has ended. Without a UUID it is whichever has
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
	vm         VM // its name, and its UUID as soon as that is known
	conditions []Condition
	met        []time.Time // when each was; zero if it was not
	console    console
	boot       bootWatch
	searches   []*search // for those about the console

	attended time.Time // when the VM was last given a supervisor

	asked  []bool
	asking sync.WaitGroup
	nudge  chan struct{} // tells that an answer has come
	mu     sync.Mutex    // for what follows
	yes    []time.Time   // when each was answered
	why    []error       // why each was not
}

func newWait(vm VM, conditions []Condition) *wait {
	n := len(conditions)
	return &wait{
		vm: vm, conditions: conditions, met: make([]time.Time, n), searches: make([]*search, n),
		asked: make([]bool, n), nudge: make(chan struct{}, 1), yes: make([]time.Time, n), why: make([]error, n),
	}
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
	err = l.watchBeside(ctx, dir, w.vm.UUID, w.nudge, func(vm *Details) (bool, error) {
		w.attend(l, vm)
		return w.look(asking, vm)
	})
	cancel()
	w.asking.Wait()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fail(KindTimeout, "see kvmrun logs "+w.vm.Name, "not so in time: %s", w.unmet())
	case KindOf(err) == KindEnded && w.onlyEndIsLeft():
		w.meet(func(c Condition) bool { return c.Is(WaitExit) }, time.Now())
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
func (w *wait) look(ctx context.Context, vm *Details) (bool, error) {
	if vm != nil {
		w.vm.UUID = vm.UUID
		if w.boot.isAnother(vm) {
			listens := w.listen()
			w.console.restart(vm.Details.Boot.Console, !listens && !w.boot.believes)
		}
		w.readRecord(vm)
		w.ask(ctx, vm)
	}
	w.takeAnswers()
	if w.all() {
		return true, nil
	}
	if err := w.console.read(w.hear); err != nil {
		return false, err
	}
	if w.all() {
		return true, nil
	}
	return false, w.boot.failed(vm)
}

// listen begins to look for what the console is to say, and tells whether that is
// anything.
func (w *wait) listen() (something bool) {
	for i, c := range w.conditions {
		if c.console != nil {
			w.searches[i] = &search{pattern: c.console}
			something = true
		}
	}
	return something
}

// readRecord looks for the conditions that stand in the VM's record.
func (w *wait) readRecord(vm *Details) {
	for i, c := range w.conditions {
		switch {
		case !w.met[i].IsZero():
		case c.Is(WaitNone):
			w.met[i] = time.Now()
		case c.Is(WaitRunning) && (vm.State == Running || vm.State == Paused):
			w.met[i] = vm.Started
			setDefault(&w.met[i], time.Now()) // its supervisor was killed before it could say
		case c.Is(WaitNet):
			w.met[i] = vm.Reachable
		}
	}
}

// hear looks in what the console has said for the first time.
func (w *wait) hear(text []byte) {
	w.boot.console.Take(text)
	for i, s := range w.searches {
		if s != nil && w.met[i].IsZero() && s.take(text) {
			w.met[i] = time.Now()
		}
	}
}

// ask has those asked who can be by now.
func (w *wait) ask(ctx context.Context, vm *Details) {
	for i, c := range w.conditions {
		if c.ask == nil || w.asked[i] || !c.begins(vm) {
			continue
		}
		w.asked[i] = true
		w.asking.Go(func() { w.answer(i, c.ask(ctx, vm)) })
	}
}

// answer notes what came of asking.
func (w *wait) answer(i int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why[i] = err; err == nil {
		w.yes[i] = time.Now()
	}
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}

func (w *wait) takeAnswers() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, at := range w.yes {
		if w.met[i].IsZero() {
			w.met[i] = at
		}
	}
}

// all tells whether all conditions are met.
func (w *wait) all() bool {
	for _, at := range w.met {
		if at.IsZero() {
			return false
		}
	}
	return true
}

// onlyEndIsLeft tells whether the VM's end is all that was still waited for.
func (w *wait) onlyEndIsLeft() bool {
	for i, c := range w.conditions {
		if w.met[i].IsZero() && !c.Is(WaitExit) {
			return false
		}
	}
	return !w.all()
}

// meet notes that conditions are met.
func (w *wait) meet(these func(Condition) bool, at time.Time) {
	for i, c := range w.conditions {
		if these(c) {
			w.met[i] = at
		}
	}
}

// unmet lists what is not so, with the reason where one is known.
func (w *wait) unmet() string {
	var list []string
	for i, c := range w.conditions {
		switch {
		case !w.met[i].IsZero():
		case w.why[i] != nil:
			list = append(list, fmt.Sprintf("%s (%v)", c, w.why[i]))
		default:
			list = append(list, c.text)
		}
	}
	return strings.Join(list, ", ")
}

// outcome is what came of it all.
func (w *wait) outcome(err error) Waited {
	out := Waited{Name: w.vm.Name, UUID: w.vm.UUID, Conditions: make([]Met, len(w.conditions))}
	for i, c := range w.conditions {
		out.Conditions[i] = Met{For: c.text}
		if !w.met[i].IsZero() {
			out.Conditions[i].At = w.met[i].UTC()
		}
	}
	errors.As(err, &out.Error)
	for _, c := range Consoles(err) {
		out.Console = c.Lines
	}
	return out
}
