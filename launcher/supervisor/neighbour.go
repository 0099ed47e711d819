package supervisor

import (
	"context"
	"slices"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// Each supervisor keeps an eye on the VM that comes next in the order of names,
// the last one on the first. If that one's supervisor is killed, it hires a new
// one, whose first look goes to the next VM: so any number of dead supervisors is
// replaced as long as one of all is alive.

const (
	// neighbourInterval is how often it is looked which VM comes next.
	neighbourInterval = 10 * time.Second
	// neighbourGrace leaves those a moment who end a supervisor on purpose and
	// have the next one ready.
	neighbourGrace = 500 * time.Millisecond
)

// watchNeighbour looks after the next VM's supervisor until ctx ends.
func (s *supervisor) watchNeighbour(ctx context.Context) {
	for ctx.Err() == nil {
		next, found := s.neighbour(ctx)
		if found {
			awaitEnd(ctx, next)
		} else {
			_ = launcher.Sleep(ctx, neighbourInterval)
		}
	}
}

// neighbour is the next VM that has a supervisor, be it one that it gets now. What
// is left of a VM whose QEMU is gone is undone on the way. Records of VMs that failed
// need nobody: that of which not all could be undone is for start and gc to try.
func (s *supervisor) neighbour(ctx context.Context) (vmdir.Dir, bool) {
	names, err := s.root.Names()
	if err != nil {
		return vmdir.Dir{}, false
	}
	own, _ := slices.BinarySearch(names, s.dir.Name)
	for _, name := range slices.Concat(names[own:], names[:own]) {
		if name == s.dir.Name {
			continue
		}
		dir := s.root.Dir(name)
		if supervised, err := dir.Supervised(); err == nil && supervised || s.attend(ctx, name) {
			return dir, true
		}
	}
	return vmdir.Dir{}, false
}

// attend hires a supervisor for the VM if it should have one and has none, and
// tells whether that one stays.
func (s *supervisor) attend(ctx context.Context, name string) (stays bool) {
	l, err := launcher.New(launcher.Options{RunDir: s.root.Path, DataDir: s.data, Executable: executable()})
	if err != nil {
		s.post(ctx, func() { s.log.Error("nobody looks after the next VM's supervisor", "err", err) })
		return false
	}
	if !needsOne(l, name) {
		return false
	}
	_ = launcher.Sleep(ctx, neighbourGrace)
	if ctx.Err() != nil || !needsOne(l, name) {
		return false
	}
	phase, _, _ := l.Alone(name)
	attended, err := l.Attend(name)
	s.post(ctx, func() { s.log.Info("a VM has no supervisor", "vm", name, "hired", attended, "err", err) })
	return attended && phase != launcher.Dead
}

// needsOne tells whether a VM needs a supervisor that this one may hire.
func needsOne(l *launcher.Launcher, name string) bool {
	phase, alone, err := l.Alone(name)
	return err == nil && alone && phase != launcher.Failed
}

// awaitEnd waits until the VM's supervisor has ended, or for some time at most.
func awaitEnd(ctx context.Context, dir vmdir.Dir) {
	ctx, cancel := context.WithTimeout(ctx, neighbourInterval)
	defer cancel()
	var state struct {
		Supervisor process.ID `json:"supervisor"`
	}
	if dir.Read(vmdir.StateFile, &state) == nil {
		if handle, err := process.Open(state.Supervisor); err == nil {
			defer func() { _ = handle.Close() }()
			_ = handle.Wait(ctx)
			return
		}
	}
	_ = launcher.Sleep(ctx, neighbourGrace) // it is only just starting
}
