package bench

import (
	"context"
	"io"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"kvmrun/qmp"
	"kvmrun/tests/lab"
)

// byHand is a QEMU that no kvmrun looks after: the very command line that
// kvmrun start --dry-run prints, run as root by a shell.
type byHand struct {
	host    *host
	process *lab.Process
	folder  string // for sockets and the console's log
}

// opening finds in a plan's script where the shell opens a file for QEMU.
var opening = regexp.MustCompile(`(?m)^exec [0-9]+<.*$`)

// prepare does all that has to be done before QEMU is started: setUp, in
// shell commands, the folder, and the descriptors.
func (h *host) prepare(b *testing.B, p plan, setUp string) *byHand {
	q := &byHand{host: h, folder: "/run/kvmrun-by-hand-" + p.Spec.Name}
	script := strings.Join([]string{
		setUp, "rm -rf " + q.folder, "mkdir -m 0700 " + q.folder,
		strings.Join(opening.FindAllString(p.Script, -1), "\n"),
		`echo ready; read -r; exec "$@"`,
	}, "\n")
	// In a session of its own, as each of kvmrun's VMs and each terminal is: a
	// busy machine's processors are shared out among sessions (sched(7), "The
	// autogroup feature").
	q.process = h.Start(b, "setsid", append([]string{"bash", "-euc", script, "bash"}, p.Command...)...)
	q.process.Stdout.WaitFor(b, "ready\n", 20*time.Second)
	return q
}

// launch starts QEMU, which takes the waiting shell's place.
func (q *byHand) launch(b *testing.B) {
	if _, err := io.WriteString(q.process.Stdin, "\n"); err != nil {
		b.Fatal(err)
	}
}

// monitor connects to QEMU's monitor as soon as there is one.
func (q *byHand) monitor(b *testing.B) *qmp.Client {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	socket := q.host.File(path.Join(q.folder, "qmp.sock"))
	for {
		client, err := qmp.Dial(ctx, socket)
		if err == nil {
			return client
		}
		select {
		case <-q.process.Done():
			b.Fatalf("QEMU ended: %s", q.process.Stderr)
		case <-ctx.Done():
			b.Fatal(err)
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// await waits until the monitor says that the VM is in a state.
func await(b *testing.B, monitor *qmp.Client, state string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		var now struct{ Status string }
		if err := monitor.Execute(ctx, "query-status", nil, &now); err != nil {
			b.Fatal(err)
		}
		if now.Status == state {
			return
		}
	}
}

// quit asks QEMU to end and does not wait.
func quit(b *testing.B, monitor *qmp.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := monitor.Execute(ctx, "quit", nil, nil); err != nil {
		b.Error(err)
	}
}

// ended returns when QEMU has.
func (q *byHand) ended(b *testing.B) { q.process.Wait(b, 30*time.Second) }

// run launches QEMU and leaves it running; the end of the lab is its end.
func (q *byHand) run(b *testing.B) *byHand {
	q.launch(b)
	monitor := q.monitor(b)
	defer func() { _ = monitor.Close() }()
	await(b, monitor, "running")
	return q
}
