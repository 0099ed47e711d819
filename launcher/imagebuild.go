package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"

	"kvmrun/images"
	"kvmrun/images/build"
	"kvmrun/images/store"
)

// DebianBuild asks for an image to be made of Debian's packages.
type DebianBuild struct {
	build.Options
	Name string
	// Replace lets a name that has another content lead to this one.
	Replace bool
	// Importing is told how far the disk's way into the store is, in bytes. It may be
	// nil.
	Importing func(what store.Stage, done, total int64)
}

// BuildDebian makes an image of Debian's packages, see build.Debian. already says that
// the name had this very content before.
func (l *Launcher) BuildDebian(ctx context.Context, r DebianBuild) (i store.Image, already bool, err error) {
	op := "build image " + printableName(r.Name)
	if err := l.canBuild(&r); err != nil {
		return i, false, imageFailed(op, err)
	}
	images := l.imageStore()
	err = images.Scratch(func(dir string) error {
		made, err := build.Debian(ctx, dir, r.Options)
		if err != nil {
			return err
		}
		i, already, err = images.Import(ctx, r.imported(made))
		return err
	})
	return i, already, imageFailed(op, err)
}

// canBuild refuses what need not take minutes to fail.
func (l *Launcher) canBuild(r *DebianBuild) error {
	if err := CheckImageName(r.Name); err != nil {
		return err
	}
	for n := range r.Files {
		if err := absolute(&r.Files[n].From); err != nil {
			return err
		}
	}
	if err := build.Check(r.Options); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return fail(KindPermission, "run it by sudo", "Debian's packages are installed as root")
	}
	was, err := l.imageStore().Get(r.Name)
	switch {
	case errors.Is(err, store.ErrNoImage), r.Replace && errors.Is(err, store.ErrRecord):
		return nil
	case err == nil && !r.Replace:
		return fail(KindExists, "choose another name, or say --replace", "the store has an image of this name, from %q", was.Source.From)
	}
	return err
}

// imported is how the disk comes into the store. What it is recorded to come from
// makes it again, but for packages and files, which are the user's to know.
func (r *DebianBuild) imported(made build.Made) store.Request {
	from := fmt.Sprintf("image build debian --release %s --epoch %d", made.Release, made.Epoch)
	if made.Mirror != "" {
		from += " --mirror " + made.Mirror
	}
	for _, p := range r.Packages {
		from += " --package " + p
	}
	return store.Request{Path: made.Disk, From: from, Name: r.Name, Format: images.Raw, Replace: r.Replace, Progress: r.Importing}
}

// buildKinds sort what is wrong with a build, if it is not the build itself.
var buildKinds = []struct {
	is   error
	kind Kind
}{
	{build.ErrOptions, KindUsage}, {build.ErrTools, KindHost}, {build.ErrArchive, KindFetch}, {build.ErrFull, KindStorage},
}

func classifyBuild(err *build.Error) Kind {
	for _, k := range buildKinds {
		if errors.Is(err, k.is) {
			return k.kind
		}
	}
	return KindInternal
}
