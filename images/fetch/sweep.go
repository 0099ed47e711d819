package fetch

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Sweep removes from the folder what downloads left that nobody has gone on
// with for the time, and returns the names of the partial files removed. What a
// process works on stays, and so does every file that is not of this package's
// making. A folder that does not exist is empty.
func Sweep(dir string, age time.Duration) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var removed []string
	var failed error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < age {
			continue // gone meanwhile, or no concern
		}
		switch stem, kind := kindOf(e.Name()); kind {
		case partialEnding:
			gone, err := sweepPartial(filepath.Join(dir, stem))
			if gone {
				removed = append(removed, e.Name())
			}
			failed = errors.Join(failed, err)
		case recordEnding:
			failed = errors.Join(failed, sweepRecord(filepath.Join(dir, stem)))
		case namelessPattern:
			failed = errors.Join(failed, ignoreGone(os.Remove(path)))
		}
	}
	return removed, failed
}

// kindOf tells what a name in the folder stands for; empty for a stranger's.
// That of a record on its way (renameio) begins with a dot and ends with digits.
func kindOf(name string) (stem, kind string) {
	if strings.HasPrefix(name, strings.TrimSuffix(namelessPattern, "*")) {
		return name, namelessPattern
	}
	inner, dotted := strings.CutPrefix(name, ".")
	stem, ending := inner, ""
	if at := strings.IndexByte(inner, '.'); at >= 0 {
		stem, ending = inner[:at], inner[at:]
	}
	if raw, err := hex.DecodeString(stem); err != nil || len(raw) != keySize {
		return "", ""
	}
	digits, record := strings.CutPrefix(ending, recordEnding)
	switch {
	case !dotted && (ending == partialEnding || ending == recordEnding):
		return stem, ending
	case dotted && record && strings.Trim(digits, "0123456789") == "":
		return name, namelessPattern
	}
	return "", ""
}

// sweepPartial removes a partial file that nobody has locked.
func sweepPartial(stem string) (bool, error) {
	f, err := os.OpenFile(stem+partialEnding, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, ignoreGone(err)
	}
	p := &partial{f: f, path: stem}
	defer p.close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false, nil
	}
	if gone, err := p.gone(); gone || err != nil {
		return false, err
	}
	p.remove()
	return true, nil
}

// sweepRecord removes a record whose partial file is gone.
func sweepRecord(stem string) error {
	if _, err := os.Lstat(stem + partialEnding); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return ignoreGone(os.Remove(stem + recordEnding))
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
