package main

import (
	"os"
	"testing"
)

// A start would have this very program supervise its VM: it must not run the
// tests again, with another start among them.
func TestMain(m *testing.M) {
	if supervising(os.Args[1:]) {
		os.Exit(1)
	}
	os.Exit(m.Run())
}
