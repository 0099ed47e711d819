package fetch

import (
	"bytes"
	"path"
	"strings"
)

// sum is a line of a file of checksums.
type sum struct {
	digest Digest
	// name is the file's, as it stands there, maybe with folders; empty where
	// the line is a checksum alone.
	name string
}

// parseSums reads a file of checksums: the lines of GNU coreutils' sha256sum
// and sha512sum, those of BSD's and openssl's ("SHA256 (NAME) = HEX"), or a
// checksum alone. Everything else is passed over, as other kinds of checksums,
// remarks, and the signature around it.
func parseSums(text []byte) []sum {
	var all []sum
	for line := range bytes.Lines(text) {
		s, ok := parseSum(strings.TrimRight(string(line), "\r\n"))
		if ok {
			all = append(all, s)
		}
	}
	return all
}

// parseSum reads one line. A backslash before it says that some characters of
// the name are escaped.
func parseSum(line string) (sum, bool) {
	line, escaped := strings.CutPrefix(line, `\`)
	s, ok := parseGNU(line)
	if !ok {
		s, ok = parseBSD(line)
	}
	if escaped {
		s.name = unescape.Replace(s.name)
	}
	return s, ok
}

// unescape undoes what GNU coreutils do to names (its manual, "md5sum
// invocation").
var unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")

// parseGNU reads "HEX  NAME", or with a * before the name, or "HEX". A name may
// begin and end with spaces.
func parseGNU(line string) (sum, bool) {
	digits, name, named := strings.Cut(line, " ")
	if named && name != "" && (name[0] == ' ' || name[0] == '*') {
		name = name[1:]
	}
	d, ok := newDigest(strings.TrimSpace(digits))
	return sum{d, name}, ok && (!named || name != "")
}

// parseBSD reads "SHA256 (NAME) = HEX"; the name may contain anything.
func parseBSD(line string) (sum, bool) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end <= open+1 {
		return sum{}, false
	}
	digits, ok := strings.CutPrefix(strings.TrimSpace(line[end+1:]), "=")
	if !ok {
		return sum{}, false
	}
	d, ok := newDigest(strings.TrimSpace(digits))
	kind := strings.ToLower(strings.TrimSpace(line[:open]))
	kind = strings.ReplaceAll(kind, "sha2-", "sha") // as openssl 3 says
	return sum{d, line[open+1 : end]}, ok && kind == d.Kind()
}

// find picks the line for a file. Names count by their last element; where
// several are alike, the folders before it tell them apart. It says what is
// the matter if there is none, or more than one.
func find(all []sum, wanted location) (Digest, *Error) {
	if len(all) == 1 && all[0].name == "" {
		return all[0].digest, nil
	}
	best, found := 0, map[string]Digest{}
	for _, s := range all {
		fit := fitness(s.name, wanted.slashed())
		if fit == 0 || fit < best {
			continue
		}
		if fit > best {
			best, found = fit, map[string]Digest{}
		}
		kind := s.digest.Kind()
		if other, ok := found[kind]; ok && other != s.digest {
			return "", &Error{Kind: ErrSums, Detail: "it has several checksums for " + show(wanted.name()),
				Advice: "choose one and give it by --checksum"}
		}
		found[kind] = s.digest
	}
	for _, kind := range []string{sha256Kind, sha512Kind} {
		if d, ok := found[kind]; ok {
			return d, nil
		}
	}
	return "", &Error{Kind: ErrSums, Detail: "it has no SHA-256 or SHA-512 checksum for " + show(wanted.name()),
		Advice: "check that it belongs to this file, or give the checksum by --checksum"}
}

// fitness says how well a name in a list fits a path: 0 is not at all, 1 by the
// last element alone, more where all its folders fit, the more of them the
// better.
func fitness(name, wanted string) int {
	if name == "" {
		return 0
	}
	name = path.Clean(name)
	if path.Base(name) != path.Base(wanted) {
		return 0
	}
	if !strings.HasSuffix("/"+strings.TrimLeft(wanted, "/"), "/"+strings.TrimLeft(name, "/")) {
		return 1
	}
	return 2 + strings.Count(name, "/")
}
