package launcher

import "context"

// Resume lets a guest that stands still go on, and returns when it runs. If it
// stands still again at once, because a disk is as full as before, that is an
// error of KindStorage. A guest that runs is left alone. It fails with KindEnded
// if the VM has ended, and with KindQEMU if QEMU refuses or does not answer.
func (l *Launcher) Resume(ctx context.Context, name string) error {
	return l.ask(ctx, "resume", name, resumeRequest)
}

// ResumeAll resumes VMs side by side and joins what failed.
func (l *Launcher) ResumeAll(ctx context.Context, names []string) error {
	return sideBySide(names, func(name string) error { return l.Resume(ctx, name) })
}

// Pause has a guest stand still, and returns when it does. One that stands still
// already is left alone. It fails as Resume does.
func (l *Launcher) Pause(ctx context.Context, name string) error {
	return l.ask(ctx, "pause", name, pauseRequest)
}

// PauseAll pauses VMs side by side and joins what failed.
func (l *Launcher) PauseAll(ctx context.Context, names []string) error {
	return sideBySide(names, func(name string) error { return l.Pause(ctx, name) })
}

// Reset resets the machine as its button would, and returns when that has taken place
// and the guest's new boot is recorded. A guest that stands still goes on doing so. It
// fails as Resume does.
func (l *Launcher) Reset(ctx context.Context, name string) error {
	return l.ask(ctx, "reset", name, resetRequest)
}

// ResetAll resets VMs side by side and joins what failed.
func (l *Launcher) ResetAll(ctx context.Context, names []string) error {
	return sideBySide(names, func(name string) error { return l.Reset(ctx, name) })
}
