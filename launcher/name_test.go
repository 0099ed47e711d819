package launcher

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "7", "web", "web-2", "a.b_c", "UPPER", strings.Repeat("x", 63)} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "-a", "_a", "a/b", "../x", "a b", "a\nb", "web\n", "a\x00", "büro", "a\xff", "a,b", "a'b", strings.Repeat("x", 64)} {
		if err := CheckName(bad); KindOf(err) != KindUsage {
			t.Errorf("%q: %v, want a usage error", bad, err)
		} else if strings.ContainsAny(err.Error(), "\n\x00") || len(err.Error()) > 300 {
			t.Errorf("%.20q makes a message that is no line: %q", bad, err)
		}
	}
}

func TestNameForImage(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/web.qcow2":         "web",
		"web":                    "web",
		"debian-12.raw":          "debian-12",
		"my disk (1).qcow2":      "my-disk--1-",
		"-rf.qcow2":              "rf",
		"..qcow2":                "vm",
		".hidden.qcow2":          "hidden",
		"büro.qcow2":             "b-ro",
		"日本.qcow2":               "vm",
		"/dev/vg/root":           "root",
		"a\nb.qcow2":             "a-b",
		strings.Repeat("x", 300): strings.Repeat("x", 58),
	} {
		got := nameFor(path)
		if got != want {
			t.Errorf("%.30q: %q, want %q", path, got, want)
		}
		if err := CheckName(got); err != nil {
			t.Errorf("%.30q: %v", path, err)
		}
	}
}

func TestFreeNameCountsUpward(t *testing.T) {
	taken := map[string]bool{}
	for _, want := range []string{"disk", "disk-2", "disk-3"} {
		got, err := freeName("disk", func(name string) (bool, error) { return taken[name], nil })
		if got != want || err != nil {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
		taken[got] = true
	}
}

func TestHostName(t *testing.T) {
	for name, want := range map[string]string{"web": "web", "a.b_c": "a-b-c", "web-": "web", "A": "A", "a._": "a"} {
		if got := hostName(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// An interface's name holds 15 bytes; long names of VMs that begin alike, or
// end alike, must not meet.
func TestTapNamesAreShortAndDistinct(t *testing.T) {
	for name, want := range map[string]string{"web": "kr-web", "exactly-12ch": "kr-exactly-12ch"} {
		if got := tapName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	seen := map[string]string{}
	for i := range 500 {
		for _, name := range []string{fmt.Sprintf("a-rather-long-name-%d", i), fmt.Sprintf("%d-a-rather-long-name", i)} {
			tap := tapName(name)
			if len(tap) > 15 || !strings.HasPrefix(tap, tapPrefix) || strings.ContainsAny(tap, "/ \n:%") {
				t.Errorf("%s makes %q", name, tap)
			}
			if other, ok := seen[tap]; ok {
				t.Errorf("%s and %s both make %s", name, other, tap)
			}
			seen[tap] = name
		}
	}
}
