package e2e

import (
	"testing"

	"kvmrun/tests/lab"
)

func TestMain(m *testing.M) {
	if isFlood() {
		beFlood()
	}
	lab.Main(m)
}
