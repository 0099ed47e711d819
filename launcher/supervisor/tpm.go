package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
	"kvmrun/launcher/qemu"
	"kvmrun/launcher/vmdir"
)

// tpmTime is how long swtpm may take to end once QEMU has.
const tpmTime = 5 * time.Second

// startTPM starts the VM's swtpm, if it is to have one, and gives QEMU the other end of
// its control channel. QEMU opens a second channel by the first; when QEMU ends, by
// whatever, the kernel closes both, and swtpm ends by itself (--terminate).
func (s *supervisor) startTPM(config *qemu.Config, h *handover) error {
	if s.spec.TPM == nil {
		return nil
	}
	state, err := s.openTPMState()
	if err != nil {
		return err
	}
	defer func() { _ = state.Close() }()
	log, err := os.OpenFile(s.dir.File(vmdir.TPMLog), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	control := os.NewFile(uintptr(pair[0]), "TPM's control channel")
	defer func() { _ = control.Close() }()
	config.TPM = &qemu.TPM{FD: h.give(os.NewFile(uintptr(pair[1]), "TPM's control channel"))}
	return s.executeTPM(control, state, log)
}

// openTPMState is where swtpm keeps what the TPM must not forget: beside the VM's kept
// disks, or in memory for as long as the VM runs. swtpm opens it anew by way of /proc, for
// which the file must be its user's; nobody but root can reach it by its path.
func (s *supervisor) openTPMState() (*os.File, error) {
	if path := s.spec.KeptTPMState(s.data); path != "" {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		run := s.spec.TPM.RunAs
		if err := f.Chown(int(run.UID), int(run.GID)); err != nil {
			_ = f.Close()
			return nil, err
		}
		return f, nil
	}
	fd, err := unix.MemfdCreate("kvmrun-tpm", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), "TPM's state"), nil
}

// executeTPM starts swtpm as a user of its own and writes its identity down. It closes
// its standard error before it reads what it is told, and says all in the log.
func (s *supervisor) executeTPM(control, state, log *os.File) error {
	program, err := exec.LookPath("swtpm")
	if err != nil {
		return &launcher.Error{Kind: launcher.KindHost, Err: err}
	}
	args := append([]string{program}, launcher.SwtpmArgs...)
	args = append(args,
		"--ctrl", fmt.Sprintf("type=unixio,clientfd=%d", firstFD),
		"--tpmstate", fmt.Sprintf("backend-uri=file:///proc/self/fd/%d", firstFD+1),
		"--log", fmt.Sprintf("fd=%d", firstFD+2), "--terminate")
	run := s.spec.TPM.RunAs
	cmd := &exec.Cmd{
		Path: program, Args: args, Dir: "/", Env: environment(),
		ExtraFiles:  []*os.File{control, state, log},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: run.UID, Gid: run.GID}},
	}
	if err := startUnprivileged(cmd); err != nil {
		return &launcher.Error{Kind: launcher.KindHost, Err: fmt.Errorf("start swtpm: %w", err)}
	}
	id, err := process.Find(cmd.Process.Pid)
	go func() { _ = cmd.Wait() }()
	if errors.Is(err, process.ErrGone) {
		return &launcher.Error{Kind: launcher.KindHost, Err: errors.New("swtpm ended at once"), Advice: "see " + log.Name()}
	}
	if err != nil {
		return err
	}
	s.state.TPM = id
	return s.save()
}

// watchTPM tells of a TPM that has ended while its VM goes on. QEMU cannot have another
// one, so nothing is mended; the guest's TPM fails from then on.
func (s *supervisor) watchTPM(ctx context.Context) {
	if s.spec.TPM == nil {
		return
	}
	var running process.ID
	if s.ask(ctx, func() error { running = s.state.TPM; return nil }) != nil {
		return
	}
	if handle, err := process.Open(running); err == nil {
		err = handle.Wait(ctx)
		_ = handle.Close()
		if err != nil {
			return
		}
	}
	select {
	case <-s.qemu.done: // that was why
	case <-ctx.Done():
	case <-time.After(lastBreath):
		s.post(ctx, func() { s.event("tpm-ended", nil) })
	}
}

// stopTPM makes sure that the VM's swtpm has ended, known or not: the supervisor that
// started it may have been killed before it could write down which it is, or before QEMU
// had it.
func (s *supervisor) stopTPM() {
	if s.spec.TPM == nil {
		return
	}
	id := s.state.TPM
	if !id.Alive() {
		var err error
		if id, err = process.Search(process.RunsAs(s.spec.TPM.RunAs.UID), launcher.SwtpmArgs...); err != nil {
			return
		}
	}
	h, err := process.Open(id)
	if err != nil {
		return
	}
	defer func() { _ = h.Close() }()
	_ = h.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), tpmTime)
	defer cancel()
	if h.Wait(ctx) != nil {
		_ = h.Signal(syscall.SIGKILL)
		_ = h.Wait(context.Background())
	}
}
