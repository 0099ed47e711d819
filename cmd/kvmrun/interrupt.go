package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interrupting are the signals that end a command: Ctrl-C, SIGTERM, and SIGHUP
// when its terminal goes, unless nohup(1) keeps that away.
func interrupting() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// interrupts returns a context that ends with the next such signal, for a
// command whose first one is already spent.
func interrupts() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), interrupting()...)
}

// keepWriting makes a failed write of one to a pipe that nobody reads any more,
// where it would end the process otherwise (os/signal, "SIGPIPE").
func keepWriting() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
