package launcher

import (
	"testing"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"512": 512 << 20, "512M": 512 << 20, "512m": 512 << 20, "512MiB": 512 << 20,
		"2G": 2 << 30, "1.5G": 3 << 29, "2097152K": 2 << 30, "1T": 1 << 40, "0": 0, ".5G": 1 << 29,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "M", "G2", "-5", "+5", "1e3", "0x40", "1_000", "NaN", "Inf", "inf", "1,5G", "5 M", " 5M", "5MM", "5MB",
		"9999999T", "99999999999999999999", "1.2.3", "5Mi\n", "٣",
	} {
		if got, err := ParseSize(text); KindOf(err) != KindUsage {
			t.Errorf("%q: %d, %v; want a usage error", text, got, err)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		512 << 20: "512M", 1 << 30: "1G", 3 << 29: "1536M", 1 << 40: "1T", 1 << 10: "1K", 1000: "1000", 0: "0",
	} {
		if got := FormatSize(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
