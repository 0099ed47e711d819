package lab

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Snapshot is the state of a world as sorted lines of text, by section: the
// names are those of [sections], "processes" and "files". Equal states make
// equal snapshots.
//
// Not in it is what comes and goes by itself: counters, and neighbours that
// the kernel learned (those that somebody set are there).
type Snapshot map[string][]string

// section is a part of a snapshot, as the standard tools print it: what is
// compared shall not come through the libraries that kvmrun itself uses.
type section struct{ name, script string }

var sections = []section{
	{"links", "ip -d -o link"},
	{"addresses", "ip -o addr"},
	{"routes", "ip -4 route show table all; ip -6 route show table all"},
	{"rules", "ip -4 rule; ip -6 rule"},
	{"neighbours", "ip neigh show nud permanent; ip neigh show proxy"},
	{"sockets", "ss -Hnl -tuw0x | awk '{ print $1, $2, $5, $6 }'"},
	{"nftables", "if command -v nft >/dev/null; then nft list ruleset; fi"},
	{"sysctls", "cd /proc/sys/net; grep -rs '' ipv4/ip_forward ipv6/conf ipv6/neigh ipv4/conf ipv4/neigh"},
}

// Snapshot takes the world's state.
func (w *World) Snapshot(t testing.TB) Snapshot {
	t.Helper()
	s := Snapshot{"processes": w.Processes(t), "files": w.files(t)}
	const separator = "=== "
	var script strings.Builder
	for _, part := range sections {
		fmt.Fprintf(&script, "echo '%s%s'; %s\n", separator, part.name, part.script)
	}
	r := w.Run(t, "sh", "-c", script.String())
	if r.Stderr != "" {
		t.Fatalf("in %s: snapshot: %s", w.Name, r.Stderr)
	}
	current := ""
	for line := range strings.Lines(r.Stdout) {
		line = strings.TrimRight(line, " \n")
		if name, ok := strings.CutPrefix(line, separator); ok {
			current = name
			continue
		}
		s[current] = append(s[current], line)
	}
	for _, lines := range s {
		slices.Sort(lines)
	}
	return s
}

// Diff is empty if the two are equal, and else has a line for each that was
// removed (-) from s or added (+) in after, led by its section's name.
func (s Snapshot) Diff(after Snapshot) string {
	names := slices.Sorted(maps.Keys(s))
	for name := range after {
		if _, ok := s[name]; !ok {
			names = append(names, name)
		}
	}
	var diff strings.Builder
	for _, name := range names {
		count := map[string]int{}
		for _, line := range s[name] {
			count[line]--
		}
		for _, line := range after[name] {
			count[line]++
		}
		for _, line := range slices.Sorted(maps.Keys(count)) {
			switch n := count[line]; {
			case n < 0:
				fmt.Fprintf(&diff, "%s: - %s\n", name, line)
			case n > 0:
				fmt.Fprintf(&diff, "%s: + %s\n", name, line)
			}
		}
	}
	return diff.String()
}

// Without is the snapshot without some of its sections.
func (s Snapshot) Without(names ...string) Snapshot {
	rest := Snapshot{}
	for name, lines := range s {
		if !slices.Contains(names, name) {
			rest[name] = lines
		}
	}
	return rest
}

// Processes are the command lines of what runs in the world, its holder
// aside. They are read from outside, so that the reading is not in them.
func (w *World) Processes(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir(w.File("/proc"))
	if err != nil {
		t.Fatalf("in %s: snapshot: %v", w.Name, err)
	}
	var lines []string
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err != nil || pid == 1 {
			continue
		}
		text, err := os.ReadFile(w.File(filepath.Join("/proc", e.Name(), "cmdline")))
		if err != nil || len(text) == 0 {
			continue // it has just ended
		}
		lines = append(lines, strings.TrimRight(strings.ReplaceAll(string(text), "\x00", " "), " "))
	}
	slices.Sort(lines)
	return lines
}

// files are what lies in the world's own directories, each with its mode, and
// what is in it: the size and a hash, or where a link leads. Those of
// directories are left out, for they depend on what has been there.
func (w *World) files(t testing.TB) []string {
	t.Helper()
	var lines []string
	for _, dir := range []string{"/run", "/var/lib/kvmrun", "/var/lib/misc"} {
		root := w.File(dir)
		err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
			if err == nil {
				var what string
				if what, err = describeFile(path, e); err == nil {
					lines = append(lines, dir+strings.TrimPrefix(path, root)+" "+what)
				}
			}
			if os.IsNotExist(err) {
				return nil // it has just gone
			}
			return err
		})
		if err != nil {
			t.Fatalf("in %s: snapshot: %v", w.Name, err)
		}
	}
	return lines
}

func describeFile(path string, e os.DirEntry) (string, error) {
	info, err := e.Info()
	if err != nil {
		return "", err
	}
	mode := info.Mode()
	switch {
	case mode.IsRegular():
		text, err := os.ReadFile(path)
		return fmt.Sprintf("%s %d %.8x", mode, len(text), sha256.Sum256(text)), err
	case mode.Type() == os.ModeSymlink:
		to, err := os.Readlink(path)
		return mode.String() + " " + to, err
	}
	return mode.String(), nil
}

// skeleton is what may stay of kvmrun when no VM is left: directories, and the
// files whose locks commands take.
var skeleton = []string{
	"/run/kvmrun", "/run/kvmrun/lock", "/run/kvmrun/vms", "/run/kvmrun/leases",
	"/run/kvmrun/net", "/run/kvmrun/net/lock", "/var/lib/kvmrun/overlays",
	"/var/lib/kvmrun/images", "/var/lib/kvmrun/images/lock", "/var/lib/kvmrun/images/blobs",
	"/var/lib/kvmrun/images/names", "/var/lib/kvmrun/images/partial",
}

// WithoutSkeleton is the snapshot without the files that may stay of kvmrun when
// no VM is left.
func (s Snapshot) WithoutSkeleton() Snapshot {
	rest := maps.Clone(s)
	rest["files"] = slices.DeleteFunc(slices.Clone(s["files"]), func(line string) bool {
		name, _, _ := strings.Cut(line, " ")
		return slices.Contains(skeleton, name)
	})
	return rest
}
