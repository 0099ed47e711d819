package main

import (
	"slices"
	"testing"
)

// TestWhatIsQEMUs keeps what stands behind the double dash apart from images, also
// where there is no image before it.
func TestWhatIsQEMUs(t *testing.T) {
	for _, args := range [][]string{
		{"--disk", "a.raw", "--disk", "b.raw", "--", "-S", "-no-reboot"},
		{"a.raw", "--disk", "b.raw", "--", "-S", "-no-reboot"},
	} {
		f := new(startFlags)
		c := startCommand(newApp())
		c.ResetFlags()
		f.register(c)
		if err := c.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		if err := f.complete(c, c.Flags().Args()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"-S", "-no-reboot"}; !slices.Equal(f.spec.Extra, want) {
			t.Errorf("%q: QEMU's are %q, want %q", args, f.spec.Extra, want)
		}
		if d := f.spec.Disks; len(d) != 2 || d[0].Path != "a.raw" || d[1].Path != "b.raw" {
			t.Errorf("%q: images %+v", args, d)
		}
	}
}
