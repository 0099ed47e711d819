package build

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// keyring has the keys by which Debian's archive is signed.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// packages are what every image has beside Debian's essential ones: what boots, what
// is told by a seed disk who it is, and what kvmrun talks to.
var packages = []string{
	"linux-image-cloud-amd64", "initramfs-tools", "udev", "systemd-sysv", "dbus", "libpam-systemd",
	"systemd-resolved", "libnss-myhostname", "iproute2", "iputils-ping", "netbase", "procps",
	"cloud-init", "cloud-guest-utils", "fdisk", "openssh-server", "qemu-guest-agent", "sudo",
}

// Made says what came of a build.
type Made struct {
	// Disk is the path of the disk, raw and sparse.
	Disk    string
	Release string
	Mirror  string // as it was given
	Epoch   int64  // seconds since 1970
}

// Debian makes a disk of Debian's packages in a folder, which must be empty, and
// which nobody else may look into. The caller removes the folder. It needs root.
func Debian(ctx context.Context, dir string, o Options) (Made, error) {
	if err := o.check(); err != nil {
		return Made{}, err
	}
	if err := checkTools(); err != nil {
		return Made{}, err
	}
	b := &builder{ctx: ctx, dir: dir, Options: o}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"copying files", b.takeFiles},
		{"looking at the archive", b.settle},
		{"preparing", b.prepare},
		{"installing packages", b.install},
		{"making the file system", b.makeRoot},
		{"making the boot loader", b.makeBoot},
		{"putting the disk together", b.assemble},
	} {
		b.tell(step.what)
		if err := step.do(); err != nil {
			return Made{}, err
		}
	}
	return Made{Disk: b.file("disk.raw"), Release: b.Release, Mirror: o.Mirror, Epoch: b.Epoch}, nil
}

// Check does what Debian does before it begins, and changes nothing.
func Check(o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	for _, f := range o.Files {
		if err := f.there(); err != nil {
			return err
		}
	}
	return checkTools()
}

// builder is a build under way.
type builder struct {
	Options
	ctx     context.Context
	dir     string
	sources []string
	// content is of everything that the user has said, for identifiers that follow
	// from it.
	content string
}

func (b *builder) tell(what string) {
	if b.Progress != nil {
		b.Progress(what)
	}
}

func (b *builder) file(name string) string { return filepath.Join(b.dir, name) }

// run runs a tool that the host has.
func (b *builder) run(name string, args ...string) error {
	t := tool{name: program(name), args: args, dir: b.dir, line: b.Log, env: b.clock()}
	said, err := t.run(b.ctx)
	if err != nil {
		return failed(name, said, err)
	}
	return nil
}

// clock makes tools take the epoch for the time that it is: the first variable is
// that of reproducible-builds.org, the second that of e2fsprogs.
func (b *builder) clock() []string {
	epoch := strconv.FormatInt(b.Epoch, 10)
	return []string{"SOURCE_DATE_EPOCH=" + epoch, "E2FSPROGS_FAKE_TIME=" + epoch}
}

// settle finds out what the options leave open.
func (b *builder) settle() error {
	host, err := hostRelease()
	if b.Release == "" {
		if err != nil {
			return err
		}
		b.Release = host
	}
	if b.sources, err = sources(b.ctx, b.Mirror, b.Release, host); err != nil {
		return err
	}
	if b.Epoch == 0 {
		if b.Epoch, err = published(b.ctx, b.dir, b.sources); err != nil {
			return err
		}
	}
	b.content = fmt.Sprintf("%q %q %q %q %d %d", b.Release, b.Packages, b.Run, b.content, b.Epoch, b.Size)
	return nil
}

// id is an identifier that follows from what is built, and from what it is for.
func (b *builder) id(what string) uuid.UUID {
	sum := sha256.Sum256([]byte(what + " " + b.content))
	var id uuid.UUID
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // version 8 of RFC 9562
	return id
}

// there tells whether a file can be copied.
func (f *File) there() error {
	info, err := os.Stat(f.From)
	if err != nil {
		return &Error{Kind: ErrOptions, Detail: "a file for the image", Err: err, Advice: "check the path"}
	}
	if !info.Mode().IsRegular() {
		return wrong("name a file; of a folder, name what is in it, or pack it by tar", "%.200q is no file", f.From)
	}
	return nil
}

// takeFiles copies the user's files, so that all of the build sees one state of them.
func (b *builder) takeFiles() error {
	hash := sha256.New()
	for n := range b.Files {
		f := &b.Files[n]
		if err := f.there(); err != nil {
			return err
		}
		folder := b.file("files/" + fmt.Sprintf("%04d", n))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		for name, text := range map[string]string{"to": f.To, "mode": fmt.Sprintf("%04o", f.Mode)} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				return err
			}
		}
		_, _ = fmt.Fprintf(hash, "%q %o ", f.To, f.Mode)
		if err := copyTo(filepath.Join(folder, "content"), f.From, hash); err != nil {
			return err
		}
	}
	b.content = fmt.Sprintf("%x", hash.Sum(nil))
	return nil
}

func copyTo(to, from string, also io.Writer) error {
	source, err := os.Open(from)
	if err != nil {
		return &Error{Kind: ErrOptions, Detail: "a file for the image", Err: err, Advice: "check the path"}
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(target, also), source)
	if err2 := target.Close(); err == nil {
		err = err2
	}
	return err
}

// image has the files of kvmrun's own in every image, and hook, which mmdebstrap
// calls when the packages are installed.
//
//go:embed image hook
var image embed.FS

// prepare lays ready what the hook needs.
func (b *builder) prepare() error {
	for n, command := range b.Run {
		if err := write(b.file(fmt.Sprintf("run/%04d", n)), command, 0o600); err != nil {
			return err
		}
	}
	hook, err := image.ReadFile("hook")
	if err != nil {
		return err
	}
	if err := write(b.file("hook"), string(hook), 0o700); err != nil {
		return err
	}
	return fs.WalkDir(image, "image", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := image.ReadFile(name)
		if err != nil {
			return err
		}
		filled := strings.NewReplacer("@ROOT@", b.id("root").String(), "@ESP@", b.volume()).Replace(string(text))
		return write(b.file(name), filled, 0o644)
	})
}

func write(name, text string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), mode)
}

// scratch runs a command with a file system in memory, of which nothing is seen
// outside, as the folder scratch. Programs that have /proc show their own processes
// there.
const scratch = `mkdir -p scratch &&
mount -t tmpfs -o mode=0755,size=100% scratch scratch &&
mount -t proc proc /proc &&
exec "$@"`

// apart runs a command as scratch has it.
func (b *builder) apart(what string, env []string, args ...string) error {
	t := tool{name: "/bin/sh", args: append([]string{"-c", scratch, "sh"}, args...), dir: b.dir, apart: true,
		line: b.heard, env: append(b.clock(), env...)}
	said, err := t.run(b.ctx)
	if err != nil {
		return failed(what, said, err)
	}
	return nil
}

// heard shows what mmdebstrap says it does, and logs everything.
func (b *builder) heard(line string) {
	if b.Log != nil {
		b.Log(line)
	}
	if what, ok := strings.CutPrefix(line, "I: "); ok {
		b.tell(strings.TrimSuffix(what, "..."))
	}
}

// install makes root.tar, sorted and with no file younger than the epoch.
func (b *builder) install() error {
	include := append(append([]string{}, packages...), b.Packages...)
	args := []string{
		"mmdebstrap", "--mode=root", "--variant=apt", "--format=tar", "--architectures=amd64",
		"--keyring=" + keyring, "--include=" + strings.Join(include, " "),
		`--aptopt=APT::Install-Recommends "false"`, `--aptopt=APT::Sandbox::User "root"`,
		// Until the image is there, nothing has to outlast a power cut.
		"--dpkgopt=force-unsafe-io",
	}
	for _, dir := range []string{"doc", "man", "info", "locale", "lintian"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+dir+"/*")
	}
	args = append(args, "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		"--customize-hook="+b.file("hook"), b.Release, b.file("root.tar"))
	env := []string{"TMPDIR=" + b.file("scratch")}
	return b.apart("mmdebstrap", env, append(args, b.sources...)...)
}

// Time is when an image was made, for people.
func (m Made) Time() time.Time { return time.Unix(m.Epoch, 0).UTC() }
