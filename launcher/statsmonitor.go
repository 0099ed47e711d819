package launcher

import (
	"context"
	"time"

	"kvmrun/launcher/stats"
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
	return s.askBalloon(ctx, client, vm.State == Running)
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
