package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kvmrun/launcher"
)

// kinds are launcher's kinds of failure, read from its source so that a new
// one cannot be forgotten here.
func kinds(t *testing.T) []launcher.Kind {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../launcher/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []launcher.Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Kind") || len(spec.Values) != 1 {
			return true
		}
		if text, ok := spec.Values[0].(*ast.BasicLit); ok {
			value, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, launcher.Kind(value))
		}
		return true
	})
	if !slices.Contains(found, launcher.KindUsage) || !slices.Contains(found, launcher.KindCanceled) {
		t.Fatalf("only found %q", found)
	}
	return found
}

func TestEveryKindHasOneExitStatus(t *testing.T) {
	count := map[launcher.Kind]int{}
	numbers := map[int]bool{}
	for _, s := range exitStatuses {
		count[s.kind]++
		if numbers[s.status] || s.status < 1 || s.status > 130 || s.meaning == "" {
			t.Errorf("%d is no status of its own: %q", s.status, s.meaning)
		}
		numbers[s.status] = true
	}
	for _, kind := range kinds(t) {
		if count[kind] != 1 {
			t.Errorf("%s has %d exit statuses", kind, count[kind])
		}
	}
}

// Scripts rely on these: a status never changes its meaning.
func TestStatusesAreThoseOfBefore(t *testing.T) {
	for kind, want := range map[launcher.Kind]int{
		launcher.KindInternal: 1, launcher.KindUsage: 2, launcher.KindNotFound: 3, launcher.KindExists: 4,
		launcher.KindPermission: 5, launcher.KindHost: 6, launcher.KindImage: 7, launcher.KindImageInUse: 8,
		launcher.KindAddress: 9, launcher.KindNetwork: 10, launcher.KindQEMU: 11, launcher.KindTimeout: 12,
		launcher.KindStorage: 13, launcher.KindEnded: 14, launcher.KindBoot: 18, launcher.KindCanceled: 130,
	} {
		var said bytes.Buffer
		a := &app{err: &said}
		err := &launcher.Error{Kind: kind, Err: errors.New("it is Sunday")}
		for _, err := range []error{err, fmt.Errorf("wrapped: %w", err), errors.Join(err, errors.New("more"))} {
			if got := a.exit(err); got != want {
				t.Errorf("%s: %v ends with %d, want %d", kind, err, got, want)
			}
		}
		if !strings.HasPrefix(said.String(), "kvmrun: it is Sunday\n") {
			t.Errorf("%s: said %q", kind, said.String())
		}
	}
}

func TestWrongArgumentsInPlainWords(t *testing.T) {
	for line, want := range map[string]string{
		"stop web --timeout 5":        `kvmrun: --timeout "5" is not a time; write it like 30s or 2m; see kvmrun stop --help`,
		"start --cpus two":            `kvmrun: --cpus "two" is not a whole number; see kvmrun start --help`,
		"list -a=perhaps":             `kvmrun: --all "perhaps" is not a word for yes or no; write true or false; see kvmrun list --help`,
		"list web":                    `kvmrun: it takes no argument, and got "web"; see kvmrun list --help`,
		"host check web":              `kvmrun: it takes no argument, and got "web"; see kvmrun host check --help`,
		"stop web --timeout 0s":       `kvmrun: --timeout must be above 0; to ask the guest nothing, say --force; see kvmrun stop --help`,
		"net explain web --with x":    `kvmrun: --with "x" is not an IPv4 address; see kvmrun net explain --help`,
		"net explain web --timeout 0": `kvmrun: --timeout must be above 0; see kvmrun net explain --help`,
		"qmp web x --timeout 0":       `kvmrun: --timeout must be above 0; see kvmrun qmp --help`,
	} {
		status, out, errs := capture(t, strings.Fields(line)...)
		if status != 2 || out != "" || errs != want+"\n" {
			t.Errorf("%s: status %d, %q, %q; want %q", line, status, out, errs, want)
		}
	}
}

func TestSuccessAndBadNewsSayNothing(t *testing.T) {
	var said bytes.Buffer
	a := &app{err: &said}
	if got := a.exit(nil); got != 0 {
		t.Errorf("no error ends with %d", got)
	}
	if got := a.exit(errUnwell); got != 15 { // host check has printed it all
		t.Errorf("bad news end with %d, want 15", got)
	}
	if got := a.exit(errUnreachable); got != 17 {
		t.Errorf("a VM that is not reached ends with %d, want 17", got)
	}
	if got := a.exit(errors.New("x")); got != 1 || said.String() != "kvmrun: x\n" {
		t.Errorf("a stranger ends with %d, said %q", got, said.String())
	}
}
