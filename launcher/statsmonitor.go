package launcher

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"kvmrun/launcher/stats"
	"kvmrun/qmp"
)

// addMonitor adds what QEMU tells of the VM's disks, and the guest of its memory.
func (s *sample) addMonitor(ctx context.Context, l *Launcher, vm *Details, limit time.Duration) {
	if s.QEMU == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := s.askMonitor(ctx, l, vm)
	// Whoever has just ended says no more, and that is no failure.
	if err != nil && vm.Details.QEMU.Alive() {
		s.unknown(stats.PartMonitor, monitorError(ctx, err))
	}
}

func (s *sample) askMonitor(ctx context.Context, l *Launcher, vm *Details) error {
	client, err := dialMonitor(ctx, l.root.Dir(vm.Name))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	reply, err := client.ExecuteRaw(ctx, "query-blockstats", nil)
	if err != nil {
		return err
	}
	if s.Disks, err = stats.ParseDisks(reply); err != nil {
		return err
	}
	nameImages(s.Disks, &vm.Spec)
	s.Guest, err = guestMemory(ctx, client, vm.State == Running)
	return err
}

// nameImages says of those disks that are in the description which files they are.
func nameImages(disks []stats.Disk, spec *Spec) {
	images := map[string]string{}
	for i, d := range spec.QEMUConfig().Disks {
		images[d.ID] = spec.Disks[i].Path
	}
	for i := range disks {
		disks[i].Image = images[disks[i].Name]
	}
}

// Properties of QEMU's balloon devices (docs/interop/virtio-balloon-stats.rst).
const (
	guestStats         = "guest-stats"
	guestStatsInterval = "guest-stats-polling-interval" // in seconds; 0: the guest is not asked
)

// guestMemory is what the guest says of its memory; nil if the machine has no balloon,
// or the guest no driver for it. If ask is set, the guest is asked anew.
func guestMemory(ctx context.Context, client *qmp.Client, ask bool) (*stats.GuestMemory, error) {
	path, err := findBalloon(ctx, client)
	if path == "" || err != nil {
		return nil, err
	}
	balloon := object{client, path}
	last, err := balloon.guestMemory(ctx)
	if last == nil || err != nil || !ask {
		return last, err
	}
	return balloon.askGuest(ctx, last)
}

// findBalloon is the path of the machine's balloon among QEMU's objects, "" if there is
// none. It may have any name, or none.
func findBalloon(ctx context.Context, client *qmp.Client) (string, error) {
	err := client.Execute(ctx, "query-balloon", nil, nil)
	if qmp.HasClass(err, qmp.ClassDeviceNotActive) {
		return "", nil
	}
	if err != nil && !qmp.HasClass(err, qmp.ClassKVMMissingCap) {
		return "", err
	}
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
