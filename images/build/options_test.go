package build

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestOptionsThatCannotBeMeant(t *testing.T) {
	for name, o := range map[string]Options{
		"release":       {Release: "../etc"},
		"flag":          {Release: "--help"},
		"mirror":        {Mirror: "ftp://x"},
		"mirror's flag": {Mirror: "http://x [trusted=yes]"},
		"package":       {Packages: []string{"vim,emacs nano"}},
		"package flag":  {Packages: []string{"-x"}},
		"relative":      {Files: []File{{From: "/etc/fstab", To: "etc/fstab"}}},
		"upwards":       {Files: []File{{From: "/etc/fstab", To: "/a/../../b"}}},
		"mode":          {Files: []File{{From: "/etc/fstab", To: "/a", Mode: 1 << 20}}},
		"command":       {Run: []string{" "}},
		"epoch":         {Epoch: -1},
		"late":          {Epoch: 1 << 32},
		"small":         {Size: 1 << 20},
		"huge":          {Size: 1 << 50},
	} {
		if err := o.check(); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "; ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := Options{Release: "bookworm", Mirror: "https://mirror.invalid/debian", Packages: []string{"nginx", "g++-12", "linux-image-amd64=6.1.0-1", "vim/bookworm"},
		Files: []File{{From: "/etc/fstab", To: "/srv/a", Mode: 0o4755}}, Run: []string{"true"}, Size: 3<<30 + 5}
	if err := good.check(); err != nil || good.Size != 3<<30 {
		t.Errorf("refused: %v, %d bytes", err, good.Size)
	}
}

func TestSourcesOfTheHost(t *testing.T) {
	const text = "bookworm main http://a/debian/\nbookworm main http://a/debian/\nbookworm contrib http://a/debian/\n" +
		"bookworm-updates main http://a/debian/\nbookworm-security main http://a/security/\nbookworm-backports main http://a/debian/\nnodistro main http://b/\n"
	for _, c := range []struct {
		release string
		want    []string
	}{
		{"bookworm", []string{"deb http://a/debian/ bookworm main", "deb http://a/debian/ bookworm-updates main", "deb http://a/security/ bookworm-security main"}},
		{"trixie", []string{"deb http://a/debian/ trixie main", "deb http://a/debian/ trixie-updates main", "deb http://a/security/ trixie-security main"}},
	} {
		if got := parseSources(text, c.release, "bookworm"); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", c.release, got)
		}
	}
	if got := parseSources(text, "trixie", ""); got != nil {
		t.Errorf("of no host: %q", got)
	}
}

func TestReleaseDate(t *testing.T) {
	if got := releaseDate("Origin: Debian\nDate: Sat, 17 May 2025 09:53:51 UTC\nSHA256:\n"); got != 1747475631 {
		t.Errorf("got %d", got)
	}
	if got := releaseDate("Date: tomorrow\n"); got != 0 {
		t.Errorf("got %d", got)
	}
}

// The checksum of "123456789" by CRC-32C is known; ext4 does not invert it.
func TestChecksum(t *testing.T) {
	if got := ^checksum(^uint32(0), []byte("123456789")); got != 0xe3069283 {
		t.Errorf("%#x", got)
	}
	if checksum(checksum(7, []byte("1234")), []byte("56")) != checksum(7, []byte("123456")) {
		t.Error("in two parts it is another")
	}
}
