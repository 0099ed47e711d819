package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
	"kvmrun/launcher/qemu"
	"kvmrun/launcher/vmdir"
)

// startShares starts a virtiofsd for each shared folder, and gives QEMU a connection to
// it. It serves this one connection and ends when that is closed, which the kernel does
// when QEMU ends, or this process before it has a QEMU: so none is left, whatever is
// killed.
func (s *supervisor) startShares(ctx context.Context, config *qemu.Config, h *handover) error {
	if len(s.spec.Shares) == 0 {
		return nil
	}
	program, err := launcher.FindVirtiofsd()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.dir.File(vmdir.ShareLog), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	for i, share := range s.spec.Shares {
		listening, connected, err := s.shareChannel(ctx, i)
		if err != nil {
			return err
		}
		config.Shares = append(config.Shares, qemu.Share{Tag: share.Tag, FD: h.give(connected)})
		err = s.serveShare(program, share, listening, log)
		_ = listening.Close()
		if err != nil {
			return err
		}
	}
	return s.save()
}

// shareChannel is a listening socket, for virtiofsd takes no other, and a connection that
// waits there. By its name nobody can connect any more.
func (s *supervisor) shareChannel(ctx context.Context, number int) (listening, connected *os.File, err error) {
	name := fmt.Sprintf("share%d.sock", number)
	if listening, err = s.dir.Listen(name); err != nil {
		return nil, nil, err
	}
	conn, err := s.dir.Dial(ctx, name)
	if err == nil {
		connected, err = conn.(*net.UnixConn).File()
		_ = conn.Close()
	}
	err = errors.Join(err, os.Remove(s.dir.File(name)))
	if err != nil {
		_ = listening.Close()
		return nil, nil, err
	}
	return listening, connected, nil
}

// serveShare starts a virtiofsd. It stays root, to make files that belong to whom the
// guest wants, but shuts itself up in the folder, in namespaces of its own, with seccomp
// and without the capability to make device files.
func (s *supervisor) serveShare(program string, share launcher.Share, listening, log *os.File) error {
	cmd := &exec.Cmd{
		Path: program, Dir: "/", Env: environment(), Stdout: log, Stderr: log,
		Args:        []string{program, fmt.Sprintf("--fd=%d", firstFD), "-o", "source=" + share.Folder, "-o", "modcaps=-mknod"},
		ExtraFiles:  []*os.File{listening},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := startUnprivileged(cmd); err != nil {
		return &launcher.Error{Kind: launcher.KindHost, Err: fmt.Errorf("start virtiofsd: %w", err)}
	}
	id, err := process.Find(cmd.Process.Pid)
	go func() { _ = cmd.Wait() }()
	if errors.Is(err, process.ErrGone) {
		return &launcher.Error{Kind: launcher.KindHost, Err: errors.New("virtiofsd ended at once"), Advice: "see " + log.Name()}
	}
	s.state.Shares = append(s.state.Shares, id)
	return err
}

// awaitShares waits until nobody works in the shared folders any more.
func (s *supervisor) awaitShares() {
	for _, id := range s.state.Shares {
		h, err := process.Open(id)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), tpmTime)
		if h.Wait(ctx) != nil {
			_ = h.Signal(syscall.SIGKILL) // its child dies with it
			_ = h.Wait(context.Background())
		}
		cancel()
		_ = h.Close()
	}
}
