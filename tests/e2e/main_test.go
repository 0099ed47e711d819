package e2e

import (
	"testing"

	"kvmrun/tests/lab"
	"kvmrun/tests/trace"
)

func TestMain(m *testing.M) {
	trace.Main()
	if isFlood() {
		beFlood()
	}
	lab.Main(m)
}
