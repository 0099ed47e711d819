package launcher

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// maxName is the length of a DNS label (RFC 1035, section 2.3.4): a VM's name
// becomes its host name.
const maxName = 63

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

// CheckName tells whether a VM may have this name: 1 to 63 letters, digits,
// dots, dashes and underscores, the first a letter or a digit. So it is one
// path element, one shell word and one line, whatever it is used for.
func CheckName(name string) error { return checkNameOf("a VM", name) }

// CheckImageName tells whether an image may have this name, by the same rules.
func CheckImageName(name string) error { return checkNameOf("an image", name) }

func checkNameOf(what, name string) error {
	const advice = "use 1 to 63 letters, digits, '.', '-' and '_', beginning with a letter or digit"
	switch {
	case name == "":
		return fail(KindUsage, advice, "the name is empty")
	case len(name) > maxName:
		return fail(KindUsage, advice, "the name %.20q… has %d characters", name, len(name))
	case !validName.MatchString(name):
		return fail(KindUsage, advice, "%q is not a name for %s", name, what)
	}
	return nil
}

// nameFor makes a name from an image's file name, without its folder and
// suffix: web from /srv/web.qcow2.
func nameFor(path string) string {
	base := filepath.Base(path)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := strings.Map(func(r rune) rune {
		if r < 128 && validName.MatchString("a"+string(r)) {
			return r
		}
		return '-'
	}, base)
	name = strings.TrimLeft(name, "._-")
	name = roomy(name)
	if name == "" {
		return "vm"
	}
	return name
}

// roomy leaves room for a number behind a name.
func roomy(name string) string { return name[:min(len(name), maxName-5)] }

// freeName counts upward from base: disk, disk-2, disk-3, … It fails where it cannot be
// told whether a name is taken.
func freeName(base string, taken func(string) (bool, error)) (string, error) {
	name := base
	for n := 2; ; n++ {
		is, err := taken(name)
		if err != nil || !is {
			return name, err
		}
		name = base + "-" + strconv.Itoa(n)
	}
}

// hostName is a VM's name as a host name (RFC 1123, section 2.1): no
// underscores, nor dots, which would make a domain of it.
func hostName(name string) string {
	host := strings.Map(func(r rune) rune {
		if r == '_' || r == '.' {
			return '-'
		}
		return r
	}, name)
	return strings.Trim(host, "-")
}

// printableName is a name for messages, however long or strange it is.
func printableName(name string) string {
	if CheckName(name) == nil {
		return name
	}
	return fmt.Sprintf("%.40q", name)
}
