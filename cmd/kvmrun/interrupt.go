package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interrupts returns a context that ends with the next Ctrl-C or SIGTERM, for
// a command whose first one is already spent.
func interrupts() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
