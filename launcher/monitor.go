package launcher

import (
	"context"
	"encoding/json"
	"net"

	"kvmrun/launcher/vmdir"
)

// Command runs a command on the VM's monitor and returns its reply. args may
// be nil; it must be a JSON object otherwise.
func (l *Launcher) Command(ctx context.Context, name, command string, args json.RawMessage) (json.RawMessage, error) {
	op := command + " on " + printableName(name)
	dir, err := l.reach(name)
	if err != nil {
		return nil, during(op, err)
	}
	client, err := dialMonitor(ctx, dir)
	if err != nil {
		return nil, during(op, monitorError(ctx, err))
	}
	defer func() { _ = client.Close() }()
	reply, err := client.ExecuteRaw(ctx, command, args)
	if err != nil {
		return nil, during(op, monitorError(ctx, err))
	}
	return reply, nil
}

// reach is the folder of a VM that has not ended, whose sockets can be spoken to.
func (l *Launcher) reach(name string) (vmdir.Dir, error) {
	dir, err := l.dir(name)
	if err != nil {
		return dir, err
	}
	if err := l.over(dir); err != nil {
		return dir, err
	}
	l.attendBeside(name)
	return dir, nil
}

// monitorError tells a caller that gave up, or whose time was over, from a QEMU
// that failed.
func monitorError(ctx context.Context, err error) error {
	switch ctx.Err() {
	case nil:
		return &Error{Kind: KindQEMU, Err: err}
	case context.DeadlineExceeded:
		return &Error{Kind: KindTimeout, Err: err, Advice: "QEMU may be busy, or serve another client: it serves one at a time"}
	default:
		return &Error{Kind: KindCanceled, Err: err}
	}
}

// Console connects to the VM's serial port. QEMU serves one client at a time:
// others hear nothing until the first has left, and may have to wait here.
func (l *Launcher) Console(ctx context.Context, name string) (net.Conn, error) {
	op := "console of " + printableName(name)
	dir, err := l.reach(name)
	if err != nil {
		return nil, during(op, err)
	}
	conn, err := dir.Dial(ctx, vmdir.ConsoleSocket)
	return conn, during(op, err)
}
