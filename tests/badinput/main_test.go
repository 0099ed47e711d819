package badinput

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

func TestMain(m *testing.M) {
	if role, ok := strings.CutPrefix(filepath.Base(os.Args[0]), fakePrefix); ok {
		fakeQEMU(role)
	}
	lab.Main(m)
}
