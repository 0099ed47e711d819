package stats

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// GuestMemory is what the guest's own driver of its memory balloon says of its memory.
// It is the guest's word: it may be anything. What it does not tell is nil.
type GuestMemory struct {
	Measured   time.Time `json:"measured"` // when the guest said so, to the second
	Total      *uint64   `json:"total_bytes,omitempty"`
	Available  *uint64   `json:"available_bytes,omitempty"` // what programs could get without swapping
	Free       *uint64   `json:"free_bytes,omitempty"`
	Caches     *uint64   `json:"caches_bytes,omitempty"` // of disks, and given back on demand
	SwappedIn  *uint64   `json:"swapped_in_bytes,omitempty"`
	SwappedOut *uint64   `json:"swapped_out_bytes,omitempty"`
}

// Used is what the guest's programs and its kernel hold; ok is false if the guest has
// not told, or what makes no sense.
func (g *GuestMemory) Used() (bytes uint64, ok bool) {
	if g == nil || g.Total == nil || g.Available == nil || *g.Available > *g.Total {
		return 0, false
	}
	return *g.Total - *g.Available, true
}

// ParseGuestMemory reads the property guest-stats of a QEMU's balloon device
// (QEMU: docs/interop/virtio-balloon-stats.rst). It is nil if the guest has never told
// anything, as one that has no driver.
func ParseGuestMemory(property []byte) (*GuestMemory, error) {
	var told struct {
		Stats struct {
			Total      uint64 `json:"stat-total-memory"`
			Available  uint64 `json:"stat-available-memory"`
			Free       uint64 `json:"stat-free-memory"`
			Caches     uint64 `json:"stat-disk-caches"`
			SwappedIn  uint64 `json:"stat-swap-in"`
			SwappedOut uint64 `json:"stat-swap-out"`
		} `json:"stats"`
		LastUpdate int64 `json:"last-update"` // in seconds since 1970
	}
	if err := json.Unmarshal(property, &told); err != nil {
		return nil, fmt.Errorf("QEMU's guest-stats: %w", err)
	}
	if told.LastUpdate <= 0 || told.LastUpdate > lastSecond {
		return nil, nil
	}
	s := told.Stats
	return &GuestMemory{
		Measured: time.Unix(told.LastUpdate, 0).UTC(),
		Total:    asTold(s.Total), Available: asTold(s.Available), Free: asTold(s.Free), Caches: asTold(s.Caches),
		SwappedIn: asTold(s.SwappedIn), SwappedOut: asTold(s.SwappedOut),
	}, nil
}

// lastSecond is the last that a time in JSON can be: the year has four digits.
var lastSecond = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

// asTold is nil for the number by which QEMU says that the guest has not told.
func asTold(value uint64) *uint64 {
	if value == math.MaxUint64 {
		return nil
	}
	return &value
}
