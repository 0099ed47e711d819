package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"kvmrun/launcher/agent"
	"kvmrun/launcher/vmdir"
)

// What cloud-init writes of itself (its documentation, "Boot stages" and "Status"): a
// result once it is done, the errors of each stage before, and that it is not to run.
const (
	cloudResult   = "/run/cloud-init/result.json"
	cloudStatus   = "/run/cloud-init/status.json"
	cloudDisabled = "/run/cloud-init/disabled"
)

// cloudInitBegins tells whether somebody in the guest can be asked for cloud-init: the
// agent, or a shell by SSH where kvmrun may log in. Of two that can be, the agent, which
// a guest has sooner, costs it less.
func cloudInitBegins(vm *Details) bool {
	return agentThere(vm) || vm.Spec.FirstBoot != nil && !vm.Reachable.IsZero()
}

// errCloudInit is that cloud-init has failed, which no more waiting changes.
func errCloudInit(format string, args ...any) error {
	return &finalError{fail(KindCloudInit, "see cloud-init status --long in the guest, by kvmrun exec", format, args...)}
}

// finalError ends a wait: what is waited for will not come to be.
type finalError struct{ error }

// Unwrap gives the cause to errors.Is and errors.As.
func (f *finalError) Unwrap() error { return f.error }

// askCloudInit returns nil when cloud-init has done all that it was to do in this boot. It
// fails with a finalError when cloud-init has failed.
func askCloudInit(ctx context.Context, l *Launcher, vm *Details) error {
	dir := l.root.Dir(vm.Name)
	for why := errNoAnswer; ; {
		err := l.awaitCloudInit(ctx, dir, vm)
		if final := (*finalError)(nil); err == nil || errors.As(err, &final) {
			return err
		}
		if ctx.Err() == nil || errors.Is(err, errNotDone) {
			why = err
		}
		select {
		case <-time.After(againPause):
		case <-ctx.Done():
			return why
		}
		if now, err := l.lookFor(dir, vm.Run); err == nil {
			vm = &now // its agent may be there by now
		}
	}
}

// againPause is how long somebody in the guest who could not be asked is left alone.
const againPause = 500 * time.Millisecond

// awaitCloudInit is askCloudInit by the one way that there is now, as long as that works.
func (l *Launcher) awaitCloudInit(ctx context.Context, dir vmdir.Dir, vm *Details) error {
	if !agentThere(vm) {
		return l.cloudInitBySSH(ctx, dir, vm)
	}
	port, err := agent.Open(dir.File(vmdir.AgentFolder))
	if err != nil {
		return err
	}
	defer port.Close()
	client := agent.New(port)
	for {
		if done, err := lookAtCloudInit(ctx, client); done || err != nil {
			return err
		}
		select {
		case <-time.After(lookInterval):
		case <-ctx.Done():
			return errNotDone
		}
	}
}

var errNotDone = errors.New("it is not done")

// lookInterval is how often a guest is asked for a file. cloud-init tells nobody when it
// is done.
const lookInterval = 50 * time.Millisecond

// maxCloudFile is how long one of cloud-init's files may be, in bytes.
const maxCloudFile = 1 << 20

// lookAtCloudInit reads what cloud-init has written so far, and tells whether it is done.
func lookAtCloudInit(ctx context.Context, client *agent.Client) (done bool, err error) {
	for _, file := range []string{cloudResult, cloudStatus, cloudDisabled} {
		text, err := client.ReadFile(ctx, file, maxCloudFile)
		var refused *agent.Refusal
		switch {
		case errors.As(err, &refused) && refused.Unknown():
			return true, &finalError{agentError(err)}
		case errors.As(err, &refused):
			continue // it is not there
		case err != nil:
			return false, err
		}
		if done, err := judgeCloudInit(file, text); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// judgeCloudInit reads one of cloud-init's files. One that is being written may not be
// whole.
func judgeCloudInit(file string, text []byte) (done bool, err error) {
	switch file {
	case cloudDisabled:
		return true, errCloudInit("cloud-init is not to run in the guest (%s)", cloudDisabled)
	case cloudResult:
		var result struct {
			V1 struct{ Errors []string }
		}
		if json.Unmarshal(text, &result) != nil {
			return false, nil
		}
		return true, cloudErrors(result.V1.Errors)
	}
	var status struct {
		V1 map[string]json.RawMessage
	}
	if json.Unmarshal(text, &status) != nil {
		return false, nil
	}
	var all []string
	for _, raw := range status.V1 {
		var stage struct{ Errors []string }
		if json.Unmarshal(raw, &stage) == nil {
			all = append(all, stage.Errors...)
		}
	}
	slices.Sort(all)
	err = cloudErrors(all)
	return err != nil, err
}

// cloudErrors makes an error of cloud-init's.
func cloudErrors(all []string) error {
	if len(all) == 0 {
		return nil
	}
	return errCloudInit("cloud-init has failed: %.500s", strings.Join(all, "; "))
}

// cloudScript waits in the guest for one of cloud-init's files, and prints its name and
// the file.
const cloudScript = `while :; do
for f in ` + cloudResult + ` ` + cloudDisabled + `; do
if [ -e $f ]; then echo $f; cat $f; exit; fi
done
if grep -Eq '"errors": *\[ *($|[^] ])' ` + cloudStatus + ` 2>/dev/null; then echo ` + cloudStatus + `; cat ` + cloudStatus + `; exit; fi
sleep 0.1
done`

// cloudInitBySSH has a shell in the guest wait.
func (l *Launcher) cloudInitBySSH(ctx context.Context, dir vmdir.Dir, vm *Details) error {
	text, err := l.outputBySSH(ctx, dir, vm, cloudScript)
	if err != nil {
		return err
	}
	file, content, _ := strings.Cut(string(text), "\n")
	if done, err := judgeCloudInit(file, []byte(content)); done {
		return err
	}
	return errNotDone
}

// outputBySSH is what a script prints in the guest.
func (l *Launcher) outputBySSH(ctx context.Context, dir vmdir.Dir, vm *Details, script string) ([]byte, error) {
	out, err := os.CreateTemp("", "kvmrun-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	_ = os.Remove(out.Name())
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }()
	e := execution{ExecOptions: ExecOptions{Stdout: out, Stderr: null, Note: func(string, ...any) {}},
		l: l, dir: dir, vm: vm, command: []string{"sh", "-c", script}}
	if err := e.openSSH(); err != nil {
		return nil, err
	}
	status, err := e.bySSH(ctx)
	if err == nil && status != 0 {
		err = fmt.Errorf("a shell in the guest ended with status %d", status)
	}
	if err != nil {
		return nil, err
	}
	text := make([]byte, maxCloudFile)
	n, _ := out.ReadAt(text, 0)
	return text[:n], nil
}
