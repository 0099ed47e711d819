package reality

import (
	"testing"

	"kvmrun/tests/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
