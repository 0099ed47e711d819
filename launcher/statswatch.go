package launcher

import (
	"context"
	"errors"
	"time"

	"kvmrun/launcher/stats"
)

// WatchStats calls show with the figures of the VMs, as Stats has them, now and after
// each interval, with the rates since the look before. A VM that goes is left out from
// then on; without names, one that comes is taken in.
//
// It returns nil when ctx ends, and when none of those that are named has been there for
// goneFor. A name
// that is nobody's from the beginning is an error of KindNotFound, and nothing is shown.
// show gets what could not be read of others, too; its error ends the watch.
func (l *Launcher) WatchStats(ctx context.Context, names []string, interval time.Duration, o StatsOptions, show func([]stats.VM, error) error) error {
	vms, err := l.Stats(ctx, names, o)
	if err != nil && (KindOf(err) == KindNotFound || len(vms) == 0) {
		return ignoreCanceled(ctx, err)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	seen := time.Now()
	for before := map[string]stats.VM{}; ; {
		before = addRates(vms, before)
		if err := show(vms, err); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		vms, err = l.Stats(ctx, names, o)
		if ctx.Err() != nil {
			return nil
		}
		if len(names) == 0 {
			continue
		}
		if err = withoutGone(err); len(vms) > 0 || err != nil {
			seen = time.Now()
		}
		if time.Since(seen) > goneFor {
			return nil
		}
	}
}

// goneFor is how long a VM is not there that is gone, and not just being restarted.
const goneFor = 2 * time.Second

// addRates adds to each VM what it did since it was looked at before, and returns what
// is to be compared with next.
func addRates(vms []stats.VM, before map[string]stats.VM) map[string]stats.VM {
	now := make(map[string]stats.VM, len(vms))
	for i, vm := range vms {
		now[vm.Name] = vm
		if was, ok := before[vm.Name]; ok {
			vms[i].Rates = stats.Between(was, vm)
		}
	}
	return now
}

// withoutGone leaves those errors out that say that a VM is not there any more.
func withoutGone(err error) error {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var left []error
	for _, err := range several.Unwrap() {
		if KindOf(err) != KindNotFound {
			left = append(left, err)
		}
	}
	return errors.Join(left...)
}

// ignoreCanceled is nil for what came of ctx's end.
func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
