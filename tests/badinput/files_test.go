package badinput

import (
	"os"
	"testing"

	"kvmrun/tests/lab"
)

func runWith(env []string) lab.Run { return lab.Run{Env: env} }

func statIn(h *host, path string) (os.FileInfo, error) { return os.Stat(h.File(path)) }

// binary is the path of the kvmrun under test.
func binary(t *testing.T) string { return lab.Binary(t) }
