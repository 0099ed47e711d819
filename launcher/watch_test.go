package launcher

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"kvmrun/launcher/vmdir"
)

func TestFaultsThatPass(t *testing.T) {
	for err, want := range map[error]bool{
		damaged(vmdir.Dir{}, &vmdir.DamagedError{}):                       true,
		&os.PathError{Op: "open", Path: "spec.json", Err: syscall.EMFILE}: true,
		fmt.Errorf("lock: %w", syscall.ENFILE):                            true,
		fs.ErrNotExist:                                                    false,
		fs.ErrPermission:                                                  false,
		fail(KindStorage, "", "a newer version"):                          false,
	} {
		if passes(err) != want {
			t.Errorf("%v: want %v", err, want)
		}
	}
}
