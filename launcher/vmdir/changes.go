package vmdir

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// pollInterval is how often a folder is looked at where inotify is used up.
const pollInterval = 50 * time.Millisecond

// Changes tells whenever something in the folder may have changed, its removal
// included. Several changes may be told as one. A user may have 128 inotify
// instances as a rule (fs.inotify.max_user_instances); whoever comes too late
// is told at short intervals instead. The caller calls stop. It fails with
// fs.ErrNotExist if there is no folder.
func (d Dir) Changes() (changes <-chan struct{}, stop func(), err error) {
	watcher, err := fsnotify.NewWatcher()
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return poll()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("watch %s: %w", d.Path, err)
	}
	err = watcher.Add(d.Path)
	if errors.Is(err, unix.ENOSPC) {
		_ = watcher.Close()
		return poll()
	}
	if err != nil {
		_ = watcher.Close()
		if _, gone := os.Lstat(d.Path); gone != nil {
			err = gone
		}
		return nil, nil, fmt.Errorf("watch %s: %w", d.Path, err)
	}
	told := make(chan struct{}, 1)
	go func() {
		defer close(told)
		for {
			select {
			case _, ok := <-watcher.Events:
				if !ok {
					return
				}
			case _, ok := <-watcher.Errors: // an overflow: look at everything
				if !ok {
					return
				}
			}
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}()
	return told, func() { _ = watcher.Close() }, nil
}

func poll() (<-chan struct{}, func(), error) {
	told := make(chan struct{}, 1)
	ticker := time.NewTicker(pollInterval)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
			case <-done:
				return
			}
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}()
	return told, func() {
		ticker.Stop()
		close(done)
	}, nil
}
