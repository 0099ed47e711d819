package firmware

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plain is Debian's description of the firmware without Secure Boot, with its files in
// the folder DIR.
const plain = `{"interface-types": ["uefi"], "mapping": {"device": "flash",
	"executable": {"filename": "DIR/code", "format": "raw"},
	"nvram-template": {"filename": "DIR/vars", "format": "raw"}},
	"targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
	"features": ["acpi-s3", "amd-sev", "verbose-dynamic"], "tags": []}`

// secure is made of plain.
func secure(features string) string {
	text := strings.Replace(plain, `"amd-sev"`, features, 1)
	return strings.Replace(text, `"pc-i440fx-*", `, "", 1)
}

func TestFind(t *testing.T) {
	enrolled := secure(`"secure-boot", "enrolled-keys", "requires-smm"`)
	for name, c := range map[string]struct {
		files map[string]string // by folder and name
		want  Want
		found string // the code's name; "" for none
		smm   bool
	}{
		"plain":                        {map[string]string{"usr/60.json": plain}, Want{"q35", false}, "code", false},
		"plain on pc":                  {map[string]string{"usr/60.json": plain}, Want{"pc", false}, "code", false},
		"none on microvm":              {map[string]string{"usr/60.json": plain}, Want{"microvm", false}, "", false},
		"secure":                       {map[string]string{"usr/40.json": enrolled}, Want{"q35", true}, "code", true},
		"secure is not plain":          {map[string]string{"usr/40.json": enrolled}, Want{"q35", false}, "", false},
		"plain is not secure":          {map[string]string{"usr/40.json": plain}, Want{"q35", true}, "", false},
		"secure without keys":          {map[string]string{"usr/40.json": secure(`"secure-boot"`)}, Want{"q35", true}, "", false},
		"secure not on pc":             {map[string]string{"usr/40.json": enrolled}, Want{"pc", true}, "", false},
		"the order of names":           {map[string]string{"usr/60.json": plain, "usr/50.json": other("code", "vars2")}, Want{"q35", false}, "vars2", false},
		"the administrator's first":    {map[string]string{"usr/60.json": plain, "etc/60.json": other("code", "vars2")}, Want{"q35", false}, "vars2", false},
		"an empty one hides":           {map[string]string{"usr/60.json": plain, "etc/60.json": ""}, Want{"q35", false}, "", false},
		"another architecture":         {map[string]string{"usr/60.json": strings.Replace(plain, "x86_64", "aarch64", 1)}, Want{"q35", false}, "", false},
		"a BIOS":                       {map[string]string{"usr/60.json": strings.Replace(plain, `"uefi"`, `"bios"`, 1)}, Want{"q35", false}, "", false},
		"in memory":                    {map[string]string{"usr/60.json": strings.Replace(plain, `"flash"`, `"memory"`, 1)}, Want{"q35", false}, "", false},
		"without variables":            {map[string]string{"usr/60.json": strings.Replace(plain, `"flash"`, `"flash", "mode": "stateless"`, 1)}, Want{"q35", false}, "", false},
		"split, in a word":             {map[string]string{"usr/60.json": strings.Replace(plain, `"flash"`, `"flash", "mode": "split"`, 1)}, Want{"q35", false}, "code", false},
		"another format":               {map[string]string{"usr/60.json": strings.Replace(plain, `"raw"`, `"vmdk"`, 1)}, Want{"q35", false}, "", false},
		"a relative path":              {map[string]string{"usr/60.json": strings.Replace(plain, "DIR/code", "code", 1)}, Want{"q35", false}, "", false},
		"one that is no JSON":          {map[string]string{"usr/50.json": "{", "usr/60.json": plain}, Want{"q35", false}, "code", false},
		"one whose files are not here": {map[string]string{"usr/50.json": other("gone", "vars"), "usr/60.json": plain}, Want{"q35", false}, "code", false},
		"another ending":               {map[string]string{"usr/60.txt": plain}, Want{"q35", false}, "", false},
		"nothing":                      {nil, Want{"q35", false}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range []string{"code", "vars", "vars2"} {
				write(t, filepath.Join(dir, file), "x")
			}
			for file, text := range c.files {
				write(t, filepath.Join(dir, file), strings.ReplaceAll(text, "DIR", dir))
			}
			got, err := Find([]string{filepath.Join(dir, "etc"), filepath.Join(dir, "usr")}, c.want)
			if c.found == "" {
				if !errors.Is(err, ErrNone) {
					t.Errorf("found %+v, error %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if base := filepath.Base(got.Code.Path); base != c.found && filepath.Base(got.Template.Path) != c.found || got.SMM != c.smm {
				t.Errorf("found %+v", got)
			}
		})
	}
}

// other is plain with other files.
func other(code, vars string) string {
	return strings.NewReplacer("DIR/code", "DIR/"+code, "DIR/vars", "DIR/"+vars).Replace(plain)
}

// TestFindTellsWhy has the error name what stood in the way.
func TestFindTellsWhy(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "60.json"), strings.ReplaceAll(plain, "DIR", filepath.Join(dir, "gone")))
	_, err := Find([]string{dir, filepath.Join(dir, "none")}, Want{"q35", false})
	if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), filepath.Join(dir, "gone", "code")) {
		t.Errorf("error: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
