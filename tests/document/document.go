// Package document writes results into the project's documents: a section stands
// between two marks, which are comments in Markdown.
package document

import (
	"fmt"
	"os"
	"strings"
)

// Store replaces the named section of the document at path. A document without
// the section's marks is an error: somebody has to decide where it belongs.
func Store(path, name, content string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := replace(string(old), name, content)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// Check says whether the document at path has all of the named sections.
func Check(path string, names ...string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := replace(string(text), name, ""); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// replace returns the document with the lines between the marks of the named
// section replaced.
func replace(document, name, content string) (string, error) {
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
