package netplumb

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Traffic is what has gone over a tap in one direction since it was made.
type Traffic struct {
	Bytes   uint64 // of whole Ethernet frames
	Packets uint64
	Dropped uint64 // packets for which there was no room
}

// TapTraffic is what has gone over a tap, as the guest behind it sees it: what the
// kernel counts as sent by the tap, the guest has received.
type TapTraffic struct {
	Received, Sent Traffic
}

// Traffic reads the counters of the plans' taps, all in one look at the host's
// interfaces, and returns them by the tap's name. A tap that is not there, or not the
// plan's by name, alias and link group, is left out.
func (h *Host) Traffic(plans []*Plan) (map[string]TapTraffic, error) {
	wanted := make(map[string]Config, len(plans))
	for _, p := range plans {
		wanted[p.Config.Tap] = p.Config
	}
	found := make(map[string]TapTraffic, len(plans))
	m := newMessage(unix.RTM_GETLINK, unix.NLM_F_DUMP, ifinfomsg(0))
	err := h.rtnl.query(m, func(body []byte) {
		l := parseLink(body)
		c, ok := wanted[l.name]
		if !ok || !l.ours(c) {
			return
		}
		if t, ok := parseTraffic(body); ok {
			found[l.name] = t
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the interfaces' counters: %w", permission(err))
	}
	return found, nil
}

// parseTraffic finds IFLA_STATS64 in what the kernel tells of an interface: struct
// rtnl_link_stats64 of linux/if_link.h.
func parseTraffic(body []byte) (t TapTraffic, ok bool) {
	if len(body) < unix.SizeofIfInfomsg {
		return t, false
	}
	const rxPackets, txPackets, rxBytes, txBytes, rxDropped, txDropped, known = 0, 1, 2, 3, 6, 7, 8
	for typ, data := range attributes(body[unix.SizeofIfInfomsg:]) {
		if typ != unix.IFLA_STATS64 || len(data) < known*8 {
			continue
		}
		counter := func(i int) uint64 { return binary.NativeEndian.Uint64(data[i*8:]) }
		return TapTraffic{
			Received: Traffic{Bytes: counter(txBytes), Packets: counter(txPackets), Dropped: counter(txDropped)},
			Sent:     Traffic{Bytes: counter(rxBytes), Packets: counter(rxPackets), Dropped: counter(rxDropped)},
		}, true
	}
	return t, false
}
