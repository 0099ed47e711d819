package main

import (
	"strconv"
	"testing"
)

func TestParseFile(t *testing.T) {
	for text, want := range map[string]string{
		"a:/b":         "a /b 644",
		"a:/b:0755":    "a /b 755",
		"/x:y:/b":      "/x:y /b 644",
		"/x:y:/b:4755": "/x:y /b 4755",
		"a":            "",
		":/b":          "",
		"a:":           "",
		"a:/b:rwx":     "",
		"a:/b:77777":   "",
		"a:/b:-1":      "",
	} {
		f, err := parseFile(text)
		got := f.From + " " + f.To + " " + strconv.FormatUint(uint64(f.Mode), 8)
		if (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
