package bench

import (
	"testing"

	"kvmrun/tests/document"
)

// The sections that the program writes are in the document.
func TestDocumentHasItsSections(t *testing.T) {
	if err := document.Check("../../docs/performance.md", ownSection, peersSection); err != nil {
		t.Error(err)
	}
}
