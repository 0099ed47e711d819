package qemu

// Screen is a graphics card, with what shows its picture.
type Screen struct {
	// VNC is the path of a socket on which QEMU listens. If it is empty, QEMU is told
	// later on (display-update of QMP; qapi/ui.json).
	VNC string
}

// screen gives the machine a VGA card, which every guest knows, and a tablet, by which
// a client's pointer and the guest's are at the same place. Keys go to the board's own
// keyboard.
func (c Config) screen() []string {
	if c.Screen == nil {
		return nil
	}
	vnc := "none"
	if c.Screen.VNC != "" {
		vnc = "unix:" + escape(c.Screen.VNC)
	}
	return []string{
		"-vnc", vnc,
		"-device", "VGA,id=screen0",
		"-device", "qemu-xhci,id=usb0",
		"-device", "usb-tablet,id=tablet0,bus=usb0.0",
	}
}
