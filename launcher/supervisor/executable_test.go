package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestTrusted has a program lie where others could have put another in its place.
func TestTrusted(t *testing.T) {
	t.Parallel()
	const stranger = 12345
	for name, test := range map[string]struct {
		spoil func(dir, program string) error
		want  bool
	}{
		"root's alone":              {func(string, string) error { return nil }, true},
		"all may read it":           {func(_, program string) error { return os.Chmod(program, 0o755) }, true},
		"another's":                 {func(_, program string) error { return os.Chown(program, stranger, 0) }, false},
		"its group may write it":    {func(_, program string) error { return os.Chmod(program, 0o775) }, false},
		"all may write it":          {func(_, program string) error { return os.Chmod(program, 0o702) }, false},
		"in another's directory":    {func(dir, _ string) error { return os.Chown(dir, stranger, 0) }, false},
		"in one that all may write": {func(dir, _ string) error { return os.Chmod(dir, 0o777) }, false},
		"in a sticky one":           {func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, false},
		"in one that its group may": {func(dir, _ string) error { return os.Chmod(dir, 0o770) }, false},
		"gone":                      {func(_, program string) error { return os.Remove(program) }, false},
		"a directory": {func(_, program string) error {
			return errors.Join(os.Remove(program), os.Mkdir(program, 0o700))
		}, false},
		"a symbolic link": {func(_, program string) error {
			return errors.Join(os.Rename(program, program+"-1"), os.Symlink(program+"-1", program))
		}, false},
		"below a symbolic link": {func(dir, _ string) error {
			return errors.Join(os.Rename(dir, dir+"-1"), os.Symlink(dir+"-1", dir))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			dir := filepath.Join(top, "opt")
			program := filepath.Join(dir, "bin", "kvmrun")
			err := errors.Join(os.Chmod(top, 0o700), os.MkdirAll(filepath.Dir(program), 0o700), os.WriteFile(program, nil, 0o700))
			if err != nil {
				t.Fatal(err)
			}
			if err := test.spoil(dir, program); err != nil {
				t.Fatal(err)
			}
			if got := trusted(program, top); got != test.want {
				t.Errorf("trusted: %t", got)
			}
		})
	}
}
