package build

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// hostRelease is the code name of the host's own Debian.
func hostRelease() (string, error) {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	is := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), "="); ok {
			is[key] = strings.Trim(value, `"`)
		}
	}
	if is["ID"] != "debian" || is["VERSION_CODENAME"] == "" {
		return "", wrong("say one by --release", "this host is no release of Debian's")
	}
	return is["VERSION_CODENAME"], nil
}

// sources are the lines of an apt sources.list: those of a mirror, or what the
// host's own apt has for a release, or for its own release in place of that.
func sources(ctx context.Context, mirror, release, host string) ([]string, error) {
	if mirror != "" {
		return []string{fmt.Sprintf("deb %s %s main", mirror, release)}, nil
	}
	said, err := tool{name: program("apt-get"), args: []string{"indextargets", "--no-release-info",
		"--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"}}.run(ctx)
	if err != nil {
		return nil, failed("apt-get indextargets", said, err)
	}
	if found := parseSources(said, release, host); found != nil {
		return found, nil
	}
	return nil, &Error{Kind: ErrArchive, Detail: "no apt source of this host has " + release + " main or its own release's", Advice: "give an archive by --mirror"}
}

// parseSources reads RELEASE COMPONENT URI, of what apt has indexes for.
func parseSources(text, release, host string) []string {
	suites := []string{"", "-updates", "-security"}
	for _, name := range []string{release, host} {
		var found []string
		for line := range strings.Lines(text) {
			field := strings.Fields(line)
			if len(field) != 3 || field[1] != "main" {
				continue
			}
			suffix, ok := strings.CutPrefix(field[0], name)
			if name == "" || !ok || !slices.Contains(suites, suffix) {
				continue
			}
			source := fmt.Sprintf("deb %s %s main", field[2], release+suffix)
			if !slices.Contains(found, source) {
				found = append(found, source)
			}
		}
		if slices.ContainsFunc(found, func(s string) bool { return strings.HasSuffix(s, " "+release+" main") }) {
			return found
		}
	}
	return nil
}

// published is when the newest of an archive's lists was, in seconds since 1970. apt
// fetches and checks what has been signed (InRelease) into a folder of the build's.
func published(ctx context.Context, dir string, lines []string) (int64, error) {
	apt := filepath.Join(dir, "apt")
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(apt, sub), 0o755); err != nil {
			return 0, err
		}
	}
	list := filepath.Join(apt, "sources.list")
	if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return 0, err
	}
	args := []string{"update", "-q"}
	for _, option := range []string{
		"Dir::Etc::sourcelist=" + list, "Dir::Etc::sourceparts=/dev/null",
		"Dir::Etc::trusted=" + keyring,
		"Dir::State::lists=" + filepath.Join(apt, "lists"), "Dir::Cache=" + filepath.Join(apt, "cache"),
		"Acquire::Languages=none", "Acquire::IndexTargets::deb::Packages::DefaultEnabled=false",
		"APT::Sandbox::User=root", "APT::Update::Error-Mode=any",
	} {
		args = append(args, "-o", option)
	}
	if said, err := (tool{name: program("apt-get"), args: args}).run(ctx); err != nil {
		return 0, failed("apt-get update", said, err)
	}
	found, err := filepath.Glob(filepath.Join(apt, "lists", "*Release"))
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, name := range found {
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		newest = max(newest, releaseDate(string(text)))
	}
	if newest == 0 {
		return 0, &Error{Kind: ErrArchive, Detail: "the archive does not say when it was published", Advice: "give a time by --epoch"}
	}
	return newest, nil
}

// releaseDate is the Date of a Release file, in seconds since 1970, or 0.
func releaseDate(text string) int64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "Date: "); ok {
			t, err := time.Parse(time.RFC1123, strings.TrimSpace(value))
			if err != nil {
				return 0
			}
			return t.Unix()
		}
	}
	return 0
}
