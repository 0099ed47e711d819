package bench

import (
	"flag"
	"testing"

	"kvmrun/tests/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// The command line. Without store the table is only printed.
var (
	only     = flag.String("only", "", "measure these subjects, separated by commas")
	count    = flag.Int("count", 0, "rounds of each comparison (default: as many as each needs)")
	peers    = flag.Bool("peers", false, "measure against other launchers instead of by hand")
	storeTo  = flag.String("store", "", "write the result to this document, if all subjects were measured")
	netplumb = flag.String("netplumb", "", "test binary of kvmrun/netplumb, for the subject network")
	libvirt  = flag.String("libvirt", "", "root of an unpacked libvirt, for the peers")
)
