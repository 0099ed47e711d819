package store

import "errors"

// Scratch calls use with an empty folder of the store's file system, which nobody
// else may look into, and removes it afterwards. What is left of a process that was
// killed goes with the next import, or by Prune.
func (s *Store) Scratch(use func(dir string) error) (err error) {
	if err := s.make(); err != nil {
		return err
	}
	_ = s.abandoned(func(string) bool { return true }) // prune tells what cannot be removed
	w, err := s.newWork()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	return use(w.path)
}
