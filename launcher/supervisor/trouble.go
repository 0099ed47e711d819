package supervisor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kvmrun/launcher"
	"kvmrun/qmp"
)

// The events that a disk has brought the guest to a standstill.
const (
	eventDiskFull   = "disk-full"
	eventDiskFailed = "disk-failed"
)

// stall is a disk at which QEMU has stopped the guest: a request of the guest's
// has failed, and is made again when the guest goes on.
type stall struct {
	Device string `json:"device"` // QEMU's name of it
	Image  string `json:"image,omitempty"`
	full   bool
	cover  string // the folder of the overlay that hides the image from writes
}

// Values of BlockDeviceIoStatus (QEMU's qapi/block-core.json).
const (
	ioOK   = "ok"
	ioFull = "nospace"
)

// stalls asks QEMU whether it has stopped the guest because of disks, and which.
// By QEMU's default that happens if an image has no space left (QEMU's manual,
// werror=enospc); the guest is told of other failures and goes on.
//
// QEMU does not forget a disk's failure when the guest goes on (7.2 resets only
// those of block backends with names), so those that it has spoken of since
// count alone, if there are any.
func (s *supervisor) stalls(ctx context.Context) ([]stall, error) {
	status, err := queryStatus(ctx, s.monitor)
	if err != nil || status != ioError {
		return nil, err
	}
	var devices []struct {
		QDev     string `json:"qdev"`
		Status   string `json:"io-status"`
		Inserted struct {
			Node string `json:"node-name"`
		} `json:"inserted"`
	}
	if err := s.monitor.Execute(ctx, "query-block", nil, &devices); err != nil {
		return nil, err
	}
	var found []stall
	for _, d := range devices {
		node := d.Inserted.Node
		if d.Status == "" || d.Status == ioOK || len(s.blamed) > 0 && !s.blamed[node] {
			continue
		}
		at := stall{Device: node, full: d.Status == ioFull}
		if node == "" {
			at.Device = d.QDev
		}
		for i, disk := range s.spec.QEMUConfig().Disks {
			if disk.ID == node {
				at.Image, at.cover = s.spec.Disks[i].Path, s.overlayOf(s.spec.Disks[i])
			}
		}
		found = append(found, at)
	}
	return found, nil
}

// overlayOf is the folder of a disk's overlay; "" if it has none.
func (s *supervisor) overlayOf(disk launcher.Disk) string {
	if !disk.Ephemeral {
		return ""
	}
	return launcher.OverlayDir(s.data)
}

// maxBlamed is how many disks can be to blame at once.
const maxBlamed = 64

// blame notes which disk QEMU stops the guest for.
func (s *supervisor) blame(e qmp.Event) {
	if node, ok := e.Data["node-name"].(string); ok && node != "" && e.Data["action"] == "stop" && len(s.blamed) < maxBlamed {
		if s.blamed == nil {
			s.blamed = make(map[string]bool)
		}
		s.blamed[node] = true
	}
}

// String says what is the matter.
func (at stall) String() string {
	image := at.Image
	if image == "" {
		image = "disk " + at.Device
	}
	switch {
	case at.full && at.cover != "":
		return fmt.Sprintf("no space is left in %s for what is written over %s", at.cover, image)
	case at.full:
		return "no space is left for " + image
	}
	return image + " cannot be read or written"
}

// explainStalls says why the guest stands still and what to do; "" if no disk is
// the reason.
func explainStalls(name string, found []stall) string {
	if len(found) == 0 {
		return ""
	}
	remedy := "free some space"
	what := make([]string, len(found))
	for i, at := range found {
		what[i] = at.String()
		if !at.full {
			remedy = "mend that"
		}
	}
	return fmt.Sprintf("%s; %s, then kvmrun resume %s", strings.Join(what, ", "), remedy, name)
}

// lookTime is how long QEMU may take to say what has stopped the guest.
const lookTime = 2 * time.Second

// paused follows QEMU into a pause. If nobody wanted it but a disk, it notes the
// reason.
func (s *supervisor) paused() {
	if s.state.Phase == launcher.Stopping {
		return // it stops its processors once more, which is no pause
	}
	s.diagnose()
	if s.state.Phase == launcher.Paused {
		s.settle(s.save())
		return
	}
	s.follow(launcher.Paused)
}

// diagnose notes why the guest stands still, and tells of it by an event unless
// it was known.
func (s *supervisor) diagnose() {
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	found, err := s.stalls(ctx)
	if err != nil {
		s.log.Error("why does the guest stand still?", "err", err)
		return
	}
	reason := explainStalls(s.dir.Name, found)
	if reason == "" && s.cries.hushed {
		reason = hushReason
	}
	if reason == s.state.Reason {
		return
	}
	s.state.Reason = reason
	for _, at := range found {
		event := eventDiskFailed
		if at.full {
			event = eventDiskFull
		}
		s.event(event, at)
	}
}

// goesOn follows QEMU out of a pause.
func (s *supervisor) goesOn() {
	s.state.Reason, s.blamed, s.cries = "", nil, cries{}
	s.follow(launcher.Running)
}
