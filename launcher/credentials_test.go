package launcher

import "testing"

func TestParseCredentials(t *testing.T) {
	for text, want := range map[string]Credentials{
		"1000": {1000, 1000}, "1000:100": {1000, 100}, "4294967294": {4294967294, 4294967294}, "007": {7, 7},
	} {
		if got, err := ParseCredentials(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "root", "0", "0:0", "1000:0", "0:1000", "-1", "4294967295", "4294967296", "1000:", ":1000", "1000:1:2", "1e3", "0x10", " 7", "7\n",
	} {
		if got, err := ParseCredentials(text); KindOf(err) != KindUsage {
			t.Errorf("%q: %+v, %v; want a usage error", text, got, err)
		}
	}
}
