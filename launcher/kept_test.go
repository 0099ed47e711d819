package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/images"
	"kvmrun/images/store"
	"kvmrun/launcher/disks"
)

// digestOf is a digest that a letter stands for.
func digestOf(letter string) store.Digest {
	return store.Digest("sha256:" + strings.Repeat(letter, 64))
}

func TestKeptDisksAndTheirVM(t *testing.T) {
	stored := func(image, letter string) Disk { return Disk{Image: image, Digest: digestOf(letter)} }
	thrown := stored("debian", "a")
	thrown.Ephemeral = true
	kept := func(number int, letter string) disks.Disk {
		return disks.Disk{Number: number, Image: "debian", Digest: digestOf(letter), Ran: true}
	}
	for name, c := range map[string]struct {
		kept []disks.Disk
		spec []Disk
		fits bool
	}{
		"nothing is kept":             {nil, []Disk{stored("debian", "a")}, true},
		"the same":                    {[]disks.Disk{kept(0, "a")}, []Disk{stored("debian", "a")}, true},
		"the same by another name":    {[]disks.Disk{kept(0, "a")}, []Disk{stored("other", "a")}, true},
		"one more":                    {[]disks.Disk{kept(0, "a")}, []Disk{stored("debian", "a"), stored("debian", "b")}, true},
		"behind a file":               {[]disks.Disk{kept(1, "a")}, []Disk{{Path: "/srv/x.qcow2"}, stored("debian", "a")}, true},
		"another image":               {[]disks.Disk{kept(0, "a")}, []Disk{stored("other", "b")}, false},
		"one less":                    {[]disks.Disk{kept(0, "a"), kept(1, "a")}, []Disk{stored("debian", "a")}, false},
		"another number":              {[]disks.Disk{kept(1, "a")}, []Disk{stored("debian", "a")}, false},
		"a file":                      {[]disks.Disk{kept(0, "a")}, []Disk{{Path: "/srv/x.qcow2"}}, false},
		"none":                        {[]disks.Disk{kept(0, "a")}, nil, false},
		"writes that are thrown away": {[]disks.Disk{kept(0, "a")}, []Disk{thrown}, false},
	} {
		err := checkKept(disks.Record{Disks: c.kept}, &Spec{Name: "web", Disks: c.spec})
		if (err == nil) != c.fits {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (KindOf(err) != KindExists || !strings.Contains(err.Error(), "kvmrun rm web")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWordsThatAreImages(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, err := range []error{os.WriteFile("file", nil, 0o600), os.Mkdir("folder", 0o700), os.Symlink("file", "link")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for word, want := range map[string]bool{
		"debian": true, "debian-12.5": true, "disk.qcow2": true, "folder": true,
		"file": false, "link": false, "./debian": false, "/debian": false, "": false, ".hidden": false, "a b": false,
		strings.Repeat("x", 64): false,
	} {
		if got := isImageName(word); got != want {
			t.Errorf("%q: %v, want %v", word, got, want)
		}
	}
}

// TestNameThatCannotBeTold: whoever may not know what is kept chooses no name, and does
// not look for one for ever.
func TestNameThatCannotBeTold(t *testing.T) {
	data := t.TempDir()
	l, err := New(Options{RunDir: t.TempDir(), DataDir: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "disks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.chooseName(&draft{base: "web"}); err == nil {
		t.Error("it has chosen a name")
	}
	if err := l.chooseName(&draft{spec: Spec{Name: "web"}}); err == nil {
		t.Error("it has taken a name")
	}
	if _, err := l.imageUses(); err == nil {
		t.Error("nobody needs an image")
	}
	if _, err := l.List(true); err == nil {
		t.Error("the list is whole")
	}
}

// TestUseThatCannotBeRead: a kept disk of which it cannot be known what it needs keeps
// all images.
func TestUseThatCannotBeRead(t *testing.T) {
	data := t.TempDir()
	l, err := New(Options{RunDir: t.TempDir(), DataDir: data})
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.disks().Make(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	d := disks.Disk{Number: 0, Image: "debian", Digest: digestOf("a")}
	if err := errors.Join(f.Add("6f0d5b6e-4f0e-4c1c-9f0b-7a6a5e0c1d2e", d), f.Create(0, "/base.qcow2", 1<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	uses, err := l.imageUses()
	if err != nil || len(uses) != 1 || uses[0] != (store.Use{Digest: digestOf("a"), By: "the disk of VM web"}) {
		t.Errorf("%+v, %v", uses, err)
	}
	record := filepath.Join(l.disks().Folder("web"), "disks.json")
	for name, damage := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(record, []byte("{"), 0o600) },
		"gone":    func() error { return os.Remove(record) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if uses, err := l.imageUses(); err == nil || !strings.Contains(err.Error(), "kvmrun rm web") {
			t.Errorf("%s: %+v, %v", name, uses, err)
		}
	}
	if _, err := images.Inspect(l.disks().File("web", 0), images.QCOW2); err != nil {
		t.Error(err)
	}
}
