package launcher

import (
	"context"
	"net"

	"kvmrun/launcher/vmdir"
	"kvmrun/qmp"
)

// dialMonitor opens the VM's monitor for commands.
func dialMonitor(ctx context.Context, dir vmdir.Dir) (*qmp.Client, error) {
	conn, err := dir.Dial(ctx, vmdir.MonitorSocket)
	if err != nil {
		return nil, err
	}
	return qmp.New(ctx, conn.(*net.UnixConn))
}
