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

// Leftover is a partial file that no process works on.
type Leftover struct {
	Path    string
	Size    int64 // bytes of the host's disk
	Removed bool
}

// Sweep finds in the folder what downloads left that nobody has gone on with for
// the time, and removes it unless dryRun is set. What a process works on stays,
// and so does every file that is not of this package's making. A folder that does
// not exist is empty. It goes on where something fails; the error joins all that
// did.
func Sweep(dir string, age time.Duration, dryRun bool) ([]Leftover, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []Leftover
	var failed error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < age {
			continue // gone meanwhile, or no concern
		}
		switch stem, kind := kindOf(e.Name()); {
		case kind == partialEnding:
			one, err := sweepPartial(filepath.Join(dir, stem), dryRun)
			if one != nil {
				found = append(found, *one)
			}
			failed = errors.Join(failed, err)
		case dryRun:
		case kind == recordEnding:
			failed = errors.Join(failed, sweepRecord(filepath.Join(dir, stem)))
		case kind == namelessPattern:
			failed = errors.Join(failed, ignoreGone(os.Remove(path)))
		}
	}
	return found, failed
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

// sweepPartial removes a partial file that nobody has locked; nil if there is none.
func sweepPartial(stem string, dryRun bool) (*Leftover, error) {
	f, err := os.OpenFile(stem+partialEnding, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, ignoreGone(err)
	}
	p := &partial{f: f, path: stem}
	defer p.close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil, nil
	}
	if gone, err := p.gone(); gone || err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return nil, err
	}
	found := &Leftover{Path: f.Name(), Size: stat.Blocks * 512, Removed: !dryRun}
	if !dryRun {
		p.remove()
	}
	return found, nil
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
