package launcher

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"kvmrun/launcher/stats"
	"kvmrun/qmp"
)

// askBalloon adds how much memory the machine's balloon leaves the guest, and what the
// guest's driver for it says of that memory. If ask is set, the guest is asked anew.
func (s *sample) askBalloon(ctx context.Context, client *qmp.Client, ask bool) error {
	var size struct{ Actual uint64 }
	err := client.Execute(ctx, "query-balloon", nil, &size)
	if qmp.HasClass(err, qmp.ClassDeviceNotActive) {
		return nil // there is none
	}
	if err != nil {
		return err
	}
	s.Balloon = &size.Actual
	path, err := findBalloon(ctx, client)
	if path == "" || err != nil {
		return err
	}
	balloon := object{client, path}
	s.Guest, err = balloon.guestMemory(ctx)
	if s.Guest == nil || err != nil || !ask {
		return err
	}
	s.Guest, err = balloon.askGuest(ctx, s.Guest)
	return err
}

// findBalloon is the path of the machine's balloon among QEMU's objects, "" if it is none
// of the usual. It may have any name, or none.
func findBalloon(ctx context.Context, client *qmp.Client) (string, error) {
	for _, parent := range []string{"/machine/peripheral", "/machine/peripheral-anon"} {
		var children []struct{ Name, Type string }
		if err := client.Execute(ctx, "qom-list", map[string]string{"path": parent}, &children); err != nil {
			return "", err
		}
		for _, c := range children {
			if strings.HasPrefix(c.Type, "child<virtio-balloon") {
				return parent + "/" + c.Name, nil
			}
		}
	}
	return "", nil
}

// Properties of QEMU's balloon devices (docs/interop/virtio-balloon-stats.rst).
const (
	guestStats         = "guest-stats"
	guestStatsInterval = "guest-stats-polling-interval" // in seconds; 0: the guest is not asked
)

// object is one of QEMU's.
type object struct {
	client *qmp.Client
	path   string
}

func (o object) get(ctx context.Context, property string) (json.RawMessage, error) {
	args := map[string]string{"path": o.path, "property": property}
	var value json.RawMessage
	err := o.client.Execute(ctx, "qom-get", args, &value)
	return value, err
}

func (o object) set(ctx context.Context, property string, value any) error {
	args := map[string]any{"path": o.path, "property": property, "value": value}
	return o.client.Execute(ctx, "qom-set", args, nil)
}

func (o object) guestMemory(ctx context.Context) (*stats.GuestMemory, error) {
	text, err := o.get(ctx, guestStats)
	if err != nil {
		return nil, err
	}
	return stats.ParseGuestMemory(text)
}

// How long a guest has for its answer, and how often it is looked for.
const (
	guestPatience = 100 * time.Millisecond
	guestPause    = 5 * time.Millisecond
)

// askInterval is how often a guest would be asked if nobody took that back. QEMU asks at
// once when an interval is set where there was none, and that is all that is wanted.
const askInterval = 3600

// askGuest has QEMU ask the guest's driver once. Where it is asked regularly, by whomever,
// that is left so. A guest that does not answer soon has said what it last said. Should
// this process be killed meanwhile, the guest is asked once an hour until the next look.
func (o object) askGuest(ctx context.Context, last *stats.GuestMemory) (*stats.GuestMemory, error) {
	text, err := o.get(ctx, guestStatsInterval)
	if err != nil {
		return last, err
	}
	var interval int
	if err := json.Unmarshal(text, &interval); err != nil || interval != 0 && interval != askInterval {
		return last, err
	}
	now := time.Now().Truncate(time.Second) // as QEMU tells times
	for _, interval := range []int{0, askInterval} {
		if err := o.set(ctx, guestStatsInterval, interval); err != nil {
			return last, err
		}
	}
	last, err = o.awaitGuest(ctx, last, now)
	if err != nil {
		return last, err
	}
	return last, o.set(ctx, guestStatsInterval, 0)
}

// awaitGuest waits until the guest has said something since a moment, or for guestPatience.
func (o object) awaitGuest(ctx context.Context, last *stats.GuestMemory, since time.Time) (*stats.GuestMemory, error) {
	for deadline := time.Now().Add(guestPatience); last.Measured.Before(since) && time.Now().Before(deadline); {
		if err := Sleep(ctx, guestPause); err != nil {
			return last, err
		}
		newer, err := o.guestMemory(ctx)
		if err != nil {
			return last, err
		}
		if newer != nil {
			last = newer
		}
	}
	return last, nil
}
