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
	dir, err := l.dir(name)
	if err != nil {
		return nil, during(op, err)
	}
	if err := l.over(dir); err != nil {
		return nil, during(op, err)
	}
	client, err := dialMonitor(ctx, dir)
	if err != nil {
		return nil, during(op, &Error{Kind: KindQEMU, Err: err})
	}
	defer func() { _ = client.Close() }()
	reply, err := client.ExecuteRaw(ctx, command, args)
	if err != nil {
		return nil, during(op, &Error{Kind: KindQEMU, Err: err})
	}
	return reply, nil
}

// Console connects to the VM's serial port. QEMU serves one client at a time:
// a second one hears nothing until the first has left.
func (l *Launcher) Console(ctx context.Context, name string) (net.Conn, error) {
	op := "console of " + printableName(name)
	dir, err := l.dir(name)
	if err != nil {
		return nil, during(op, err)
	}
	if err := l.over(dir); err != nil {
		return nil, during(op, err)
	}
	conn, err := dir.Dial(ctx, vmdir.ConsoleSocket)
	return conn, during(op, err)
}
