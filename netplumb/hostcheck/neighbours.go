package hostcheck

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// From this part of the limit on the neighbour table is called nearly full.
const nearlyFull = 0.8

// Attributes of a neighbour table, NDTA_* of linux/neighbour.h.
const (
	attrName       = 1
	attrThreshold3 = 4
	attrConfig     = 5
)

// neighbourTable is the kernel's ARP table, which all namespaces share.
type neighbourTable struct {
	entries   int // of every kind and namespace
	permanent int // of this namespace; the limit does not count them since Linux 5.0
	limit     int // net.ipv4.neigh.default.gc_thresh3
}

// Neighbours checks that the ARP table has room for more.
func (h Host) Neighbours() Result {
	table, err := readNeighbourTable()
	if err != nil {
		return unknown("neighbours", err)
	}
	return judgeNeighbours(table)
}

func judgeNeighbours(t neighbourTable) Result {
	const name = "neighbours"
	counted := max(t.entries-t.permanent, 0)
	seen := fmt.Sprintf("%d of at most %d neighbour entries are in use", counted, t.limit)
	if t.permanent > 0 {
		seen += fmt.Sprintf(" (%d permanent ones do not count)", t.permanent)
	}
	remedy := fmt.Sprintf("sysctl -w net.ipv4.neigh.default.gc_thresh2=%d\nsysctl -w net.ipv4.neigh.default.gc_thresh3=%d", 2*t.limit, 4*t.limit)
	switch {
	case counted >= t.limit:
		return fail(name, remedy, "%s: the table is full, new neighbours are not reached", seen)
	case float64(counted) >= nearlyFull*float64(t.limit):
		return warn(name, remedy, "%s: soon new neighbours will not be reached", seen)
	default:
		return ok(name, "%s", seen)
	}
}

// readNeighbourTable asks by netlink: the limit's sysctl and the counters in
// /proc exist in the initial network namespace alone.
func readNeighbourTable() (neighbourTable, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP)
	request.AddData(&nl.IfInfomsg{IfInfomsg: unix.IfInfomsg{Family: unix.AF_INET}})
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGHTBL)
	if err != nil {
		return neighbourTable{}, fmt.Errorf("list the neighbour tables: %w", err)
	}
	for _, message := range messages {
		table, found, err := parseNeighbourTable(message)
		if err != nil {
			return neighbourTable{}, err
		}
		if found {
			return countPermanent(table)
		}
	}
	return neighbourTable{}, errors.New("the kernel lists no ARP table")
}

// parseNeighbourTable reads one RTM_NEWNEIGHTBL message; found is false for
// other tables and for an interface's share of this one.
func parseNeighbourTable(message []byte) (table neighbourTable, found bool, err error) {
	const header = 4 // struct ndtmsg
	if len(message) < header {
		return table, false, fmt.Errorf("neighbour table of %d bytes is too short", len(message))
	}
	for attrs := message[header:]; len(attrs) >= unix.SizeofRtAttr; {
		length := int(binary.NativeEndian.Uint16(attrs))
		if length < unix.SizeofRtAttr || length > len(attrs) {
			return table, false, fmt.Errorf("neighbour table has an attribute of %d bytes in %d", length, len(attrs))
		}
		value := attrs[unix.SizeofRtAttr:length]
		switch kind := binary.NativeEndian.Uint16(attrs[2:]); {
		case kind == attrName && unix.ByteSliceToString(value) != "arp_cache":
			return table, false, nil
		case kind == attrThreshold3 && len(value) >= 4:
			table.limit, found = int(binary.NativeEndian.Uint32(value)), true
		case kind == attrConfig && len(value) >= 8:
			// struct ndt_config: two lengths of 16 bits, then the entries.
			table.entries = int(binary.NativeEndian.Uint32(value[4:]))
		}
		attrs = attrs[min((length+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(attrs)):]
	}
	return table, found, nil
}

// countPermanent counts them only where the answer matters: in a table that
// is not nearly full without them it does not.
func countPermanent(table neighbourTable) (neighbourTable, error) {
	if float64(table.entries) < nearlyFull*float64(table.limit) {
		return table, nil
	}
	list, err := netlink.NeighList(0, netlink.FAMILY_V4)
	if err != nil {
		return table, fmt.Errorf("list the neighbours: %w", err)
	}
	for _, neighbour := range list {
		if neighbour.State&netlink.NUD_PERMANENT != 0 {
			table.permanent++
		}
	}
	return table, nil
}
