package torture

import (
	"testing"

	"kvmrun/tests/document"
)

// The sections that the long forms write are in the document.
func TestDocumentHasItsSections(t *testing.T) {
	if err := document.Check("../../docs/reliability.md", section, soakSection); err != nil {
		t.Error(err)
	}
}

// A point's name means a sweep and a number, and only one that there is.
func TestFindPoint(t *testing.T) {
	s, at, err := findPoint("start/supervisor/all/17")
	if err != nil || s.title() != "start/supervisor/all" || at != 17 {
		t.Errorf("%s, %d, %v", s.title(), at, err)
	}
	for _, bad := range []string{"", "start", "start/supervisor/all", "start/supervisor/all/0", "start/nobody/all/1"} {
		if _, _, err := findPoint(bad); err == nil {
			t.Errorf("%q is a point", bad)
		}
	}
}

// No two sweeps have one name: a point would mean either.
func TestSweepsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sweeps() {
		if seen[s.title()] {
			t.Errorf("%s twice", s.title())
		}
		seen[s.title()] = true
	}
}
