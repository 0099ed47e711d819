// Command kvmrun launches virtual machines with QEMU/KVM, each with a routed
// address of its own.
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() {
	if supervising(os.Args[1:]) {
		os.Exit(newApp().exit(supervise()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), interrupting()...)
	status := run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// run is main with the arguments and the exit status in the open.
func run(ctx context.Context, args []string) int {
	return newApp().run(ctx, args)
}

// run runs a command line and returns its exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	return a.exit(own(command, err))
}
