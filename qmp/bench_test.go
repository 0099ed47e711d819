package qmp_test

import (
	"testing"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

func BenchmarkRoundTrip(b *testing.B) {
	c := startQEMU(b).dial(b)
	ctx := b.Context()
	for b.Loop() {
		if err := c.Execute(ctx, "query-status", nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTripGoQEMU is the same by go-qemu's own monitor.
func BenchmarkRoundTripGoQEMU(b *testing.B) {
	m, err := goqemu.NewSocketMonitor("unix", startQEMU(b).socket, patience)
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Connect(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Run([]byte(`{"execute":"query-status"}`)); err != nil {
			b.Fatal(err)
		}
	}
	if err := m.Disconnect(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkSchema(b *testing.B) {
	c := startQEMU(b).dial(b)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		reply, err := c.ExecuteRaw(ctx, "query-qmp-schema", nil)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(reply)))
	}
}
