package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kvmrun/launcher"
)

// execFlags are the flags of exec as they are typed.
type execFlags struct {
	by                       string
	timeout                  time.Duration
	terminal, empty, verbose bool
}

func execCommand(a *app) *cobra.Command {
	f := new(execFlags)
	c := &cobra.Command{
		Use:   "exec NAME -- COMMAND...",
		Short: "Run a command in a VM's guest",
		Long: `Run a command in a VM's guest, with this command's standard input, output and
error, and end with its exit status. The command is executed as it is, not by a
shell: for that say sh -c. Input from a terminal is given to it with -t alone.

By SSH it runs as the account that kvmrun logs into (root, or --login of start),
and its streams are joined to this command's. By QEMU's guest agent, which is
much sooner done, it runs as root; its input is read to the end first, up to 4
MiB, and what it prints comes when it has ended, up to 16 MiB on each stream.
--by auto takes SSH where kvmrun's own key is known to the guest (start
--cloud-init on and others), and the agent where it is not, or where no SSH
server answers and the account is root. -v says which was taken.

SIGINT, SIGTERM and SIGHUP are passed on to the command, SIGINT and SIGTERM a
second time end the wait for it. By the agent the command itself gets them, by
SSH what it has started, too. With --timeout it gets SIGTERM, and SIGKILL 5
seconds later.`,
		Example: `  kvmrun exec web -- systemctl is-system-running
  kvmrun exec web -t -- bash
  kvmrun exec web --timeout 10s -- sh -c 'cd /srv && make'
  tar c site | kvmrun exec web -- tar x -C /srv`,
		Annotations:       map[string]string{passesOn: "yes"},
		ValidArgsFunction: a.completeNames,
		Args:              args(oneNameThenCommand),
		RunE: func(c *cobra.Command, given []string) error {
			return a.exec(c, f, given[0], given[1:])
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.by, "by", string(launcher.WayAuto), "the way into the guest: auto|agent|ssh")
	flags.DurationVar(&f.timeout, "timeout", 0, "how long the command may take (default: as long as it likes)")
	flags.BoolVarP(&f.terminal, "tty", "t", false, "give the command this terminal (by SSH)")
	flags.BoolVarP(&f.empty, "no-stdin", "n", false, "give the command an empty standard input")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "say which way was taken, and why")
	_ = c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"auto", "agent", "ssh"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// oneNameThenCommand wants a VM's name, and words behind a double dash.
func oneNameThenCommand(c *cobra.Command, given []string) error {
	if err := oneNameAndCommand(c, given); err != nil {
		return err
	}
	if len(given) < 2 {
		return errors.New("write the command behind a double dash: NAME -- COMMAND")
	}
	return nil
}

func (a *app) exec(c *cobra.Command, f *execFlags, name string, command []string) error {
	switch {
	case f.timeout < 0, c.Flags().Changed("timeout") && f.timeout == 0:
		return usage(c, errors.New("--timeout must be above 0"))
	case f.terminal && f.empty:
		return usage(c, errors.New("a terminal is no empty input: leave -t or -n out"))
	case f.terminal && !term.IsTerminal(int(os.Stdin.Fd())):
		return usage(c, errors.New("-t gives the command this terminal, and standard input is none"))
	}
	l, err := a.launcher()
	if err != nil {
		return err
	}
	o := launcher.ExecOptions{
		By: launcher.Way(f.by), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal: f.terminal, Timeout: f.timeout,
	}
	if f.empty {
		o.Stdin = nil
	}
	if f.verbose {
		o.Note = a.say
	}
	ctx, signals, release := passing(context.WithoutCancel(c.Context()))
	defer release()
	o.Signals = signals
	status, err := l.Exec(ctx, name, command, o)
	if err != nil {
		return err
	}
	return &passedOn{status}
}

// passing hands on the signals that end a command, for one that passes them on. The
// second of them ends the context: whoever they are for does not obey.
func passing(parent context.Context) (context.Context, <-chan os.Signal, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	arrive, pass := make(chan os.Signal, 4), make(chan os.Signal, 4)
	signal.Notify(arrive, interrupting()...)
	go func() {
		defer cancel()
		select {
		case s := <-arrive:
			pass <- s
		case <-ctx.Done():
			return
		}
		for {
			select {
			case s := <-arrive:
				if s != syscall.SIGHUP {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, pass, func() {
		signal.Stop(arrive)
		cancel()
	}
}
