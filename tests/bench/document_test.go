package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// replaceSection returns the document with the lines between the marks of the
// named section replaced. A document without the marks is an error: somebody
// has to decide where the numbers belong.
func replaceSection(document, name, content string) (string, error) {
	begin, end := fmt.Sprintf("<!-- %s: begin -->\n", name), fmt.Sprintf("<!-- %s: end -->\n", name)
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		return "", fmt.Errorf("there is no line %q", strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("there is no line %q after its beginning", strings.TrimSpace(end))
	}
	return before + begin + content + end + after, nil
}

// store writes a section of the document at path.
func store(path, name, content string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := replaceSection(string(old), name, content)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func TestReplaceSection(t *testing.T) {
	const document = "a\n<!-- one: begin -->\nold\n<!-- one: end -->\nb\n<!-- two: begin -->\n<!-- two: end -->\n"
	for _, test := range []struct{ name, want string }{
		{"one", "a\n<!-- one: begin -->\nnew\n<!-- one: end -->\nb\n<!-- two: begin -->\n<!-- two: end -->\n"},
		{"two", "a\n<!-- one: begin -->\nold\n<!-- one: end -->\nb\n<!-- two: begin -->\nnew\n<!-- two: end -->\n"},
	} {
		got, err := replaceSection(document, test.name, "new\n")
		if err != nil || got != test.want {
			t.Errorf("%s: %v\n%s", test.name, err, got)
		}
	}
	for _, bad := range []string{"", "<!-- one: begin -->\n", "<!-- one: end -->\n<!-- one: begin -->\n"} {
		if got, err := replaceSection(bad, "one", "new\n"); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

// The sections that the program writes are in the document.
func TestDocumentHasItsSections(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range []string{ownSection, peersSection} {
		if _, err := replaceSection(string(text), section, ""); err != nil {
			t.Error(err)
		}
	}
}
