package netplumb

import (
	"errors"
	"maps"
)

// Records are what the journal says of the shared changes that a plan made, by
// the journal's keys. Who looks after a guest keeps a copy: the journal lies in
// memory as a rule, in a file system that may be unmounted or emptied, and with
// it would go the values to restore.
type Records struct{ changes map[string]change }

// Records reads what the journal says of this plan's shared changes.
func (p *Plan) Records(h *Host) (Records, error) {
	records := Records{map[string]change{}}
	err := p.eachShared(func(s sharedStep) error {
		c, recorded, err := h.holds.load(s.key())
		if err == nil && recorded {
			records.changes[s.key()] = c
		}
		return err
	})
	return records, err
}

// With is these records with those of a later look. What that has not seen stays as
// it was: an entry goes when the last guest does, and this one is still there.
func (r Records) With(later Records) Records {
	all := maps.Clone(r.changes)
	if all == nil {
		all = map[string]change{}
	}
	maps.Copy(all, later.changes)
	return Records{all}
}

// PutBack writes records into a journal that was lost, and makes this plan's
// address a holder again. What the journal has, put back by another or new, stays.
func (p *Plan) PutBack(h *Host, records Records) error {
	return p.eachShared(func(s sharedStep) error {
		c, kept := records.changes[s.key()]
		if !kept {
			return nil
		}
		return h.holds.putBack(s.key(), c, s.holder.String())
	})
}

// eachShared calls do for the steps that others share, all of them whatever
// becomes of one.
func (p *Plan) eachShared(do func(sharedStep) error) error {
	steps, err := p.steps()
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range steps {
		if shared, ok := s.(sharedStep); ok {
			errs = append(errs, do(shared))
		}
	}
	return errors.Join(errs...)
}

// putBack records a change that was made, unless one is recorded already. It asks
// nobody for the lock where nothing is lost.
func (j holds) putBack(key string, c change, holder string) error {
	if j.has(key, holder) {
		return nil
	}
	return j.locked(func() error {
		recorded, err := j.made(key)
		if err != nil {
			return err
		}
		if err := j.add(key, holder); err != nil || recorded {
			return err
		}
		return j.save(key, c)
	})
}
