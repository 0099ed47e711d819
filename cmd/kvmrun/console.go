package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kvmrun/launcher"
)

// leave is Ctrl-], the key that leaves a console, as telnet(1) has it.
const leave = 0x1d

func consoleCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "console NAME",
		Short: "Talk to a VM's serial console",
		Long: `Connect the terminal to the VM's serial console. Ctrl-] leaves. Without a
terminal, standard input is sent to the console and its answers are printed
until the VM ends, or the input has ended and the console is quiet.

One client at a time: others hear nothing until the first has left. What was
said before is in kvmrun logs.`,
		Example: `  kvmrun console web
  printf 'poweroff\n' | kvmrun console web`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
		Args:              args(oneName),
		ValidArgsFunction: a.completeNames,
		RunE: func(c *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			conn, err := l.Console(c.Context(), given[0])
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			return a.console(c.Context(), conn.(*net.UnixConn), given[0])
		},
	}
}

// console copies both ways until the user leaves or the VM ends.
func (a *app) console(ctx context.Context, conn *net.UnixConn, name string) error {
	input := int(os.Stdin.Fd())
	terminal := term.IsTerminal(input)
	if terminal {
		before, err := term.MakeRaw(input)
		if err != nil {
			return err
		}
		defer func() { _ = term.Restore(input, before) }()
		_, _ = io.WriteString(a.err, "connected to "+name+"; Ctrl-] leaves\r\n")
	}
	said := &activity{w: a.out}
	left := make(chan error, 2)
	go func() {
		_, err := io.Copy(said, conn)
		left <- err
	}()
	go func() {
		err := send(conn, os.Stdin)
		if err == nil && !terminal {
			err = settle(ctx, conn, said)
		}
		left <- err
	}()
	select {
	case err := <-left:
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	case <-ctx.Done():
		return launcher.During("console of "+name, ctx.Err())
	}
}

// send copies what is typed until the key that leaves.
func send(conn io.Writer, typed io.Reader) error {
	keys := make([]byte, 1024)
	for {
		n, err := typed.Read(keys)
		for i, key := range keys[:n] {
			if key == leave {
				_, err := conn.Write(keys[:i])
				return err
			}
		}
		if _, err := conn.Write(keys[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
