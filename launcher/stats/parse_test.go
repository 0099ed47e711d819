package stats

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func p[T any](v T) *T { return &v }

func TestParseDisks(t *testing.T) {
	for name, c := range map[string]struct {
		reply string
		want  []Disk
		bad   bool
	}{
		"kvmrun's own": {
			reply: `[{"device": "", "node-name": "disk0", "qdev": "/machine/peripheral/disk0-dev/virtio-backend", "stats": {
				"rd_bytes": 4608, "rd_operations": 2, "rd_total_time_ns": 307882, "wr_bytes": 524288, "wr_operations": 1, "wr_total_time_ns": 250000000,
				"flush_operations": 3, "flush_total_time_ns": 2316290, "failed_rd_operations": 1, "failed_wr_operations": 2, "failed_flush_operations": 4}}]`,
			want: []Disk{{Name: "disk0", ReadBytes: 4608, Reads: 2, ReadSeconds: 307882 / 1e9, WrittenBytes: 524288, Writes: 1, WriteSeconds: .25,
				Flushes: 3, FlushSeconds: 2316290 / 1e9, Failed: 7}},
		},
		"the user's drive":   {reply: `[{"device": "ide0-hd0", "node-name": "#block101", "qdev": "/machine/unattached/device[16]", "stats": {}}]`, want: []Disk{{Name: "ide0-hd0"}}},
		"a node of QEMU's":   {reply: `[{"device": "", "node-name": "#block101", "qdev": "/machine/x", "stats": {}}]`, want: []Disk{{Name: "/machine/x"}}},
		"two on one node":    {reply: `[{"node-name": "a", "qdev": "/1", "stats": {}}, {"node-name": "a", "qdev": "/2", "stats": {}}]`, want: []Disk{{Name: "a"}, {Name: "/2"}}},
		"without any name":   {reply: `[{"device": "", "stats": {"rd_bytes": 1}}]`, want: []Disk{}},
		"no disks":           {reply: `[]`, want: []Disk{}},
		"something else":     {reply: `{"disk0": {}}`, bad: true},
		"a negative counter": {reply: `[{"device": "a", "stats": {"rd_bytes": -1}}]`, bad: true},
	} {
		got, err := ParseDisks([]byte(c.reply))
		if (err != nil) != c.bad || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(c.want, got))
		}
	}
}

// told is what QEMU 7.2 says of a guest that has told of its memory.
const told = `{"stats": {"stat-htlb-pgalloc": 0, "stat-swap-out": 4096, "stat-available-memory": 39878656, "stat-htlb-pgfail": 0,
	"stat-free-memory": 33935360, "stat-minor-faults": 2157, "stat-major-faults": 0, "stat-total-memory": 97067008, "stat-swap-in": 0,
	"stat-disk-caches": 34394112}, "last-update": 1796086691}`

// untold is what it says of one that has no driver.
const untold = `{"stats": {"stat-total-memory": 18446744073709551615, "stat-available-memory": 18446744073709551615}, "last-update": 0}`

func TestParseGuestMemory(t *testing.T) {
	at := time.Unix(1796086691, 0).UTC()
	for name, c := range map[string]struct {
		property string
		want     *GuestMemory
		used     uint64 // 0: not known
		bad      bool
	}{
		"told": {property: told, used: 97067008 - 39878656, want: &GuestMemory{
			Measured: at, Total: p[uint64](97067008), Available: p[uint64](39878656), Free: p[uint64](33935360),
			Caches: p[uint64](34394112), SwappedIn: p[uint64](0), SwappedOut: p[uint64](4096)}},
		"untold": {property: untold},
		"an old kernel, which leaves some out": {
			property: `{"stats": {"stat-total-memory": 100, "stat-available-memory": 18446744073709551615, "stat-free-memory": 50, "stat-swap-in": 18446744073709551615,
				"stat-swap-out": 18446744073709551615, "stat-disk-caches": 18446744073709551615}, "last-update": 1796086691}`,
			want: &GuestMemory{Measured: at, Total: p[uint64](100), Free: p[uint64](50)}},
		"more available than there is": {
			property: `{"stats": {"stat-total-memory": 1, "stat-available-memory": 18446744073709551614}, "last-update": 1796086691}`,
			want: &GuestMemory{Measured: at, Total: p[uint64](1), Available: p[uint64](18446744073709551614), Free: p[uint64](0),
				Caches: p[uint64](0), SwappedIn: p[uint64](0), SwappedOut: p[uint64](0)}},
		"a time that is none": {property: `{"stats": {}, "last-update": 9223372036854775807}`},
		"negative":            {property: `{"stats": {"stat-total-memory": -1}, "last-update": 1}`, bad: true},
		"something else":      {property: `[]`, bad: true},
	} {
		got, err := ParseGuestMemory([]byte(c.property))
		if (err != nil) != c.bad || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(c.want, got))
		}
		if used, ok := got.Used(); used != c.used || ok != (c.used != 0) {
			t.Errorf("%s: used %d, %v; want %d", name, used, ok, c.used)
		}
	}
}

// FuzzGuest has a guest, and a QEMU that it has taken over, say what they like: it stays
// within what JSON and Prometheus can have.
func FuzzGuest(f *testing.F) {
	f.Add([]byte(told), []byte(`[{"device": "a\n\"\\", "node-name": "", "stats": {"rd_bytes": 18446744073709551615}}]`))
	f.Add([]byte(untold), []byte(`[{"node-name": "a", "qdev": "/1"}, {"node-name": "a", "qdev": "/1"}, {"device": "\ud800"}]`))
	f.Add([]byte(`{"stats": {"stat-total-memory": 1e19}, "last-update": 1e9}`), []byte(`[{"stats": {"rd_total_time_ns": 1e308, "wr_total_time_ns": -1e308}}]`))
	f.Fuzz(func(t *testing.T, memory, disks []byte) {
		vm := VM{Name: "web", QEMU: &Process{PID: 1}, Time: time.Unix(1, 0)}
		var err error
		if vm.Guest, err = ParseGuestMemory(memory); err != nil && vm.Guest != nil {
			t.Error("both an error and a result")
		}
		if used, ok := vm.Guest.Used(); ok && used > *vm.Guest.Total {
			t.Errorf("it uses %d of %d", used, *vm.Guest.Total)
		}
		if vm.Disks, err = ParseDisks(disks); err != nil && vm.Disks != nil {
			t.Error("both an error and a result")
		}
		if _, err := json.Marshal(vm); err != nil {
			t.Errorf("it is no JSON: %v", err)
		}
		checkExposition(t, exposition(t, vm))
		later := vm
		later.Time = time.Unix(2, 0)
		if r := Between(vm, later); r == nil || r.CPU == nil || *r.CPU != 0 {
			t.Errorf("without any change: %+v", r)
		}
	})
}
