package torture

import (
	"flag"
	"testing"

	"kvmrun/tests/lab"
	"kvmrun/tests/trace"
)

func TestMain(m *testing.M) {
	trace.Main()
	lab.Main(m)
}

// The command line. Without store the tables are only printed.
var (
	every    = flag.Int("every", shortStride, "kill at each n-th of the system calls")
	only     = flag.String("only", "", "only sweeps whose titles begin so, such as start/command,stop")
	onePoint = flag.String("point", "", "kill at this point alone, such as start/supervisor/all/17")
	cycles   = flag.Int("cycles", shortSoak, "start and stop this many VMs in TestSoak")
	seed     = flag.Uint64("seed", 1, "of what is killed in TestSoak, and when")
	storeTo  = flag.String("store", "", "write the result to this document, if all was done")
)

// shortStride leaves as many points as take less than a minute. It has no
// divisor in common with the few calls that repeat themselves.
const shortStride = 23
