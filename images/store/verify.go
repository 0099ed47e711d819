package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"

	"kvmrun/images"
)

// Verdict is what Verify found of one image.
type Verdict struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest,omitempty"`
	OK     bool   `json:"ok"`
	// Problem says what is wrong and what to do.
	Problem string `json:"problem,omitempty"`
}

// Verify reads images from end to end: whether they are what was imported, and
// sound in themselves. Without names it takes all. An image that is bad is a
// verdict; an error says that it could not be told.
func (s *Store) Verify(ctx context.Context, names []string, progress func(name string, done, total int64)) ([]Verdict, error) {
	var err error
	if len(names) == 0 {
		if names, err = s.Names(); err != nil {
			return nil, err
		}
	}
	known := map[Digest]*images.Error{} // what is wrong with those that were looked at; nil for nothing
	found := make([]Verdict, 0, len(names))
	for _, name := range names {
		v := Verdict{Name: name}
		r, err := s.read(name)
		switch {
		case errors.Is(err, ErrRecord):
			v.Problem = err.Error()
		case err != nil:
			return found, err
		default:
			v.Digest = r.Digest
			bad, err := s.problem(ctx, r, known, progress)
			if err != nil {
				return found, err
			}
			if bad != nil {
				bad.Path = name
				v.Problem = bad.Error()
			}
		}
		v.OK = v.Problem == ""
		found = append(found, v)
	}
	return found, nil
}

// problem is what is wrong with a record's blob; nil if nothing is.
func (s *Store) problem(ctx context.Context, r record, known map[Digest]*images.Error, progress func(name string, done, total int64)) (*images.Error, error) {
	if problem, ok := known[r.Digest]; ok {
		return problem, nil
	}
	err := s.verify(ctx, r, func(done, total int64) {
		if progress != nil {
			progress(r.Name, done, total)
		}
	})
	var bad *images.Error
	if err != nil && (!errors.As(err, &bad) || errors.Is(err, ErrNoConverter) || errors.Is(err, ErrConverterDied)) {
		if bad != nil && bad.Path == "" {
			bad.Path = r.Name
		}
		return nil, err
	}
	known[r.Digest] = bad
	return bad, nil
}

// verify looks at one blob. What is wrong with it is an *images.Error.
func (s *Store) verify(ctx context.Context, r record, progress func(done, total int64)) error {
	const advice = "remove it by kvmrun image rm and import it again"
	f, err := os.Open(s.blob(r.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return missing(r.Name, nil)
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	digest, err := hashFile(ctx, f, info.Size(), progress)
	switch {
	case err != nil:
		return aboutLayer(f.Name(), err)
	case digest != r.Digest:
		return imageError(r.Name, ErrChanged, nil, advice, fmt.Sprintf("its content is not what was imported: its digest is %s now", digest))
	}
	if _, err := images.Inspect(f.Name(), images.QCOW2); err != nil {
		return aboutLayer(r.Name, err)
	}
	problem, err := s.checkBlob(ctx, f.Name())
	if err == nil && problem != "" {
		err = imageError(r.Name, images.ErrCorrupt, nil, advice, "qemu-img check finds it bad: "+quoted(problem))
	}
	return err
}

// checkBlob has qemu-img go through a blob's tables, and returns what is wrong.
func (s *Store) checkBlob(ctx context.Context, path string) (problem string, err error) {
	user, err := s.user()
	if err != nil {
		return "", err
	}
	blob, err := reach(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = blob.Close() }()
	image := &blockNode{Driver: string(images.QCOW2), File: fileNode(""), ReadOnly: true}
	return s.check(ctx, qemuImg{program: s.options.QEMUImg, user: user, given: blob}, image)
}

// The exit statuses of qemu-img check, from its manual, that are no problem:
// clusters that nobody refers to cost nothing but space, and of some formats it can
// tell nothing.
const (
	checkLeaks   = 3
	checkNothing = 63
)

// check returns what qemu-img check finds wrong with an image. Only what it says by
// its status to be sound is so: it fails if qemu-img was killed.
func (s *Store) check(ctx context.Context, run qemuImg, image *blockNode) (problem string, err error) {
	said := &tail{}
	run.args, run.out = []string{"check", pseudoName(image)}, said
	words, err := run.run(ctx)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "", err
	}
	switch exit.ExitCode() {
	case checkLeaks, checkNothing:
		return "", nil
	}
	if words == "" {
		words = explain(string(said.text))
	}
	if words == "" {
		words = exit.Error()
	}
	return words, nil
}
