package qmp

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
)

func TestInterrupt(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	ctx, cancel := context.WithCancel(context.Background())
	release := interrupt(ctx, near.SetDeadline)
	go cancel()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the context ended: %v", err)
	}
	release()
	go func() { _, _ = io.WriteString(far, "x") }()
	if _, err := near.Read(make([]byte, 1)); err != nil {
		t.Errorf("read after release: %v", err)
	}
}
