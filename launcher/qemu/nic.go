package qemu

import (
	"fmt"
	"strconv"
	"strings"
)

// DefaultModel is the card that a guest gets unless told otherwise.
const DefaultModel = "virtio-net-pci"

// CardID is what the card is called in QEMU, where it has a name of ours.
const CardID = "nic0"

// roms are the PCI cards to which QEMU would load a boot ROM that no guest of
// ours boots from; unknown models are left as they are.
var roms = map[string]bool{
	"virtio-net-pci": true, "e1000": true, "e1000e": true, "rtl8139": true,
	"ne2k_pci": true, "pcnet": true, "vmxnet3": true,
}

// IsVirtio tells whether a card speaks virtio and so profits from the netdev
// form.
func IsVirtio(model string) bool { return strings.HasPrefix(model, "virtio") }

// FormFor is the form that serves a model best: netdev for virtio, where
// offloads and vhost are to be had, and the classic one for emulated cards.
func FormFor(model string) NetForm {
	if IsVirtio(model) {
		return FormNetdev
	}
	return FormNet
}

func (c Config) network() []string {
	n := c.NIC
	if n.Model == "" {
		return nil
	}
	if n.Form == FormNet {
		return n.classic()
	}
	device := c.model() + ",netdev=net0,id=" + CardID + ",mac=" + n.MAC.String()
	if roms[c.model()] {
		device += ",romfile="
	}
	return []string{
		"-netdev", "tap,id=net0," + n.Tap.options(),
		"-device", device,
	}
}

// model is the card's device name; microvm has no PCI for a virtio card.
func (c Config) model() string {
	if IsVirtio(c.NIC.Model) && !c.isPC() {
		return c.virtio("net")
	}
	return c.NIC.Model
}

// classic is the pair that meets in hub 0.
func (n NIC) classic() []string {
	args := []string{
		"-net", "nic,model=" + n.Model + ",macaddr=" + n.MAC.String(),
		"-net", "tap," + n.Tap.options(),
	}
	if roms[n.Model] {
		args = append(args, "-global", n.Model+".romfile=")
	}
	return args
}

func (t Tap) options() string {
	switch len(t.FDs) {
	case 0:
		return "ifname=" + t.Name + ",script=no,downscript=no"
	case 1:
		opts := fmt.Sprintf("fd=%d", t.FDs[0])
		if len(t.VhostFDs) == 1 {
			opts += fmt.Sprintf(",vhost=on,vhostfd=%d", t.VhostFDs[0])
		}
		return opts
	default:
		opts := "fds=" + list(t.FDs)
		if len(t.VhostFDs) == len(t.FDs) {
			opts += ",vhost=on,vhostfds=" + list(t.VhostFDs)
		}
		return opts
	}
}

// list writes descriptors the way -netdev takes several.
func list(fds []int) string {
	words := make([]string, len(fds))
	for i, fd := range fds {
		words[i] = strconv.Itoa(fd)
	}
	return strings.Join(words, ":")
}
