package document

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	const document = "a\n<!-- one: begin -->\nold\n<!-- one: end -->\nb\n<!-- two: begin -->\n<!-- two: end -->\n"
	for _, test := range []struct{ name, want string }{
		{"one", "a\n<!-- one: begin -->\nnew\n<!-- one: end -->\nb\n<!-- two: begin -->\n<!-- two: end -->\n"},
		{"two", "a\n<!-- one: begin -->\nold\n<!-- one: end -->\nb\n<!-- two: begin -->\nnew\n<!-- two: end -->\n"},
	} {
		got, err := replace(document, test.name, "new\n")
		if err != nil || got != test.want {
			t.Errorf("%s: %v\n%s", test.name, err, got)
		}
	}
	for _, bad := range []string{"", "<!-- one: begin -->\n", "<!-- one: end -->\n<!-- one: begin -->\n"} {
		if got, err := replace(bad, "one", "new\n"); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "document.md")
	if err := os.WriteFile(path, []byte("<!-- one: begin -->\n<!-- one: end -->\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Store(path, "one", "new\n"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if want := "<!-- one: begin -->\nnew\n<!-- one: end -->\n"; err != nil || string(text) != want {
		t.Errorf("%v: %q, want %q", err, text, want)
	}
	if Store(path, "two", "new\n") == nil || Check(path, "one", "two") == nil || Check(path, "one") != nil {
		t.Error("a section that is not there is no error, or one that is there is")
	}
}
