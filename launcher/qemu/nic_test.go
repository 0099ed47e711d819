package qemu

import (
	"net"
	"slices"
	"testing"
)

func TestNetworkForms(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 10, 254, 254, 2}
	for _, c := range []struct {
		name    string
		machine string
		nic     NIC
		want    []string
	}{
		{"none", Q35, NIC{}, nil},
		{"netdev", Q35, NIC{FormNetdev, "virtio-net-pci", mac, Tap{FDs: []int{7}}},
			[]string{"-netdev", "tap,id=net0,fd=7", "-device", "virtio-net-pci,netdev=net0,id=nic0,mac=52:54:0a:fe:fe:02,romfile="}},
		{"netdev with vhost", Q35, NIC{FormNetdev, "virtio-net-pci", mac, Tap{FDs: []int{7}, VhostFDs: []int{8}}},
			[]string{"-netdev", "tap,id=net0,fd=7,vhost=on,vhostfd=8", "-device", "virtio-net-pci,netdev=net0,id=nic0,mac=52:54:0a:fe:fe:02,romfile="}},
		{"netdev by name", Q35, NIC{FormNetdev, "e1000e", mac, Tap{Name: "kr-web"}},
			[]string{"-netdev", "tap,id=net0,ifname=kr-web,script=no,downscript=no", "-device", "e1000e,netdev=net0,id=nic0,mac=52:54:0a:fe:fe:02,romfile="}},
		{"netdev on microvm", MicroVM, NIC{FormNetdev, "virtio-net-pci", mac, Tap{FDs: []int{7}}},
			[]string{"-netdev", "tap,id=net0,fd=7", "-device", "virtio-net-device,netdev=net0,id=nic0,mac=52:54:0a:fe:fe:02"}},
		{"classic", PC, NIC{FormNet, "rtl8139", mac, Tap{FDs: []int{7}}},
			[]string{"-net", "nic,model=rtl8139,macaddr=52:54:0a:fe:fe:02", "-net", "tap,fd=7", "-global", "rtl8139.romfile="}},
		{"classic by name", PC, NIC{FormNet, "e1000", mac, Tap{Name: "kr-web"}},
			[]string{"-net", "nic,model=e1000,macaddr=52:54:0a:fe:fe:02", "-net", "tap,ifname=kr-web,script=no,downscript=no", "-global", "e1000.romfile="}},
		{"a model that nobody knows has no ROM taken", PC, NIC{FormNet, "usb-net", mac, Tap{FDs: []int{7}}},
			[]string{"-net", "nic,model=usb-net,macaddr=52:54:0a:fe:fe:02", "-net", "tap,fd=7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Config{Machine: c.machine, NIC: c.nic}
			if got := config.network(); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestTapOptions(t *testing.T) {
	for _, c := range []struct {
		tap  Tap
		want string
	}{
		{Tap{FDs: []int{3, 4}}, "fds=3:4"},
		{Tap{FDs: []int{3, 4}, VhostFDs: []int{5, 6}}, "fds=3:4,vhost=on,vhostfds=5:6"},
		{Tap{FDs: []int{3, 4}, VhostFDs: []int{5}}, "fds=3:4"}, // half a vhost is none
		{Tap{FDs: []int{3}, VhostFDs: nil, Name: "kr-web"}, "fd=3"},
	} {
		if got := c.tap.options(); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.tap, got, c.want)
		}
	}
}

func TestFormForModel(t *testing.T) {
	for model, want := range map[string]NetForm{
		"virtio-net-pci": FormNetdev, "virtio-net-device": FormNetdev, "virtio-net-pci-non-transitional": FormNetdev,
		"e1000": FormNet, "rtl8139": FormNet, "ne2k_pci": FormNet,
	} {
		if got := FormFor(model); got != want {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
	}
}
