package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// The names in the folder: a partial file and, beside it, its record.
const (
	partialEnding = ".partial"
	recordEnding  = ".json"
)

// lockInterval is how often a process looks whether another has ended its
// download. flock(2) itself cannot be given up by a context.
const lockInterval = 50 * time.Millisecond

// partial is a download under way, or left by one that was interrupted. Who
// has it holds a lock (flock(2)) on it, which the kernel drops with the process.
//
// Files here only grow, until they are whole: a file that was whole once is
// never written to again, only unlinked. So it can be read without the lock.
type partial struct {
	f    *os.File // locked
	path string
	// unlinked says that another process has ended with it while this one
	// waited: what is in it is whole, or wrong.
	unlinked bool
	size     int64
	// found says that what is there was not downloaded from its start here.
	found  bool
	record record
}

// record is what must be known of a partial file to go on with it.
type record struct {
	// URL is for people who look into the folder.
	URL string `json:"url"`
	// ETag and Modified are the server's, for If-Range.
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"last_modified,omitempty"`
	// Total is the size of the whole, in bytes; 0 if the server did not say.
	Total int64 `json:"total,omitempty"`
	// Whole says that the server has sent all.
	Whole bool `json:"whole,omitempty"`
}

// partialKey names the download of a file: processes that want the same bytes
// from the same place share it.
func partialKey(at location, want Digest) string {
	u := *at.url
	u.User = nil
	sum := sha256.Sum256([]byte(u.String() + "\n" + string(want)))
	return hex.EncodeToString(sum[:keySize])
}

// keySize is the number of bytes of a key.
const keySize = 16

// claim gets hold of the partial file of that key, which may be new. While
// another process has it, claim waits and reports how far that one is.
func claim(ctx context.Context, dir, key string, progress func(done, total int64)) (*partial, error) {
	for {
		p, err := open(ctx, filepath.Join(dir, key), progress)
		if err != nil {
			return nil, err
		}
		if p.usable() {
			return p, nil
		}
		if !p.unlinked {
			p.remove()
		}
		p.close()
	}
}

// usable tells whether the file can be gone on with, or is of use as it is.
func (p *partial) usable() bool {
	if p.unlinked {
		return p.size > 0
	}
	if p.size == 0 {
		p.record = record{}
		return true
	}
	record, err := readRecord(p.path)
	p.record = record
	return err == nil && (record.Total == 0 || p.size <= record.Total)
}

// open opens and locks the file.
func open(ctx context.Context, stem string, progress func(done, total int64)) (*partial, error) {
	path := stem + partialEnding
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, writeFailed(filepath.Dir(path), err)
	}
	p := &partial{f: f, path: stem}
	if err := p.lock(ctx, progress); err != nil {
		p.close()
		return nil, err
	}
	if p.unlinked, err = p.gone(); err == nil {
		p.size, err = size(f)
		p.found = p.size > 0
	}
	if err != nil {
		p.close()
		return nil, writeFailed(filepath.Dir(path), err)
	}
	return p, nil
}

// lock waits for the lock until the context ends.
func (p *partial) lock(ctx context.Context, progress func(done, total int64)) error {
	ticker := time.NewTicker(lockInterval)
	defer ticker.Stop()
	for {
		err := unix.Flock(int(p.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return writeFailed(filepath.Dir(p.path), fmt.Errorf("lock %s: %w", p.f.Name(), err))
		}
		if done, err := size(p.f); err == nil {
			r, _ := readRecord(p.path) // for people alone
			progress(done, r.Total)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// gone tells whether the file's name is no longer its own.
func (p *partial) gone() (bool, error) {
	locked, err := p.f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(p.path + partialEnding)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(locked, named), err
}

// begin empties the file for a download from the start, which the server
// describes. The record comes before the first byte.
func (p *partial) begin(r record) error {
	if err := p.f.Truncate(0); err != nil {
		return err
	}
	p.size, p.found = 0, false
	return p.note(r)
}

// end writes down that all has come.
func (p *partial) end() error {
	r := p.record
	r.Whole, r.Total = true, p.size
	return p.note(r)
}

// note replaces the record.
func (p *partial) note(r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.record = r
	return renameio.WriteFile(p.path+recordEnding, append(text, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(p.path)))
}

func readRecord(stem string) (record, error) {
	var r record
	text, err := os.ReadFile(stem + recordEnding)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, err
	}
	if r.Total < 0 {
		return record{}, errors.New("negative size")
	}
	return r, nil
}

// Write appends.
func (p *partial) Write(b []byte) (int, error) {
	n, err := p.f.WriteAt(b, p.size)
	p.size += int64(n)
	return n, err
}

// tag is the value for If-Range: only what names these very bytes serves (RFC
// 9110, section 13.1.5); empty if the server gave none. A time serves here
// though it may be weak, because the digest is checked at the end.
func (r record) tag() string {
	if len(r.ETag) > 2 && r.ETag[0] == '"' {
		return r.ETag
	}
	return r.Modified
}

// reopen opens the content for reading, from its start and with no lock.
func (p *partial) reopen() (*os.File, error) { return reopen(p.f) }

// unlock lets others have the file. It stays open.
func (p *partial) unlock() { _ = unix.Flock(int(p.f.Fd()), unix.LOCK_UN) }

// Discard removes from the folder what Options.Keep has kept there of this
// download, before the File is closed. Another process that uses the same will do
// that itself.
func (f *File) Discard() {
	if f.kept != nil {
		f.kept.discard()
	}
}

// Close closes the file. What is kept in the folder stays there.
func (f *File) Close() error {
	if f.kept != nil {
		f.kept.close()
	}
	return f.File.Close()
}

// discard removes the names of a whole file that is not locked, unless somebody
// else has the lock, who then will.
func (p *partial) discard() {
	if unix.Flock(int(p.f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	defer p.unlock()
	if gone, err := p.gone(); err == nil && !gone {
		p.remove()
	}
}

// remove takes away both names; the lock is held. A record alone is harmless,
// a file without its record useless.
func (p *partial) remove() {
	_ = os.Remove(p.path + partialEnding)
	_ = os.Remove(p.path + recordEnding)
}

// close gives up the lock.
func (p *partial) close() { _ = p.f.Close() }

func size(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// reopen is the same file anew, for reading alone, whether it has a name or not.
func reopen(f *os.File) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}
