package bench

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"kvmrun/images"
)

// measureImages takes the times of a thin overlay and of an import, against what
// qemu-img and cp do of the same.
func measureImages(b *testing.B) []row {
	h := newHost(b)
	return []row{h.measureOverlay(b), h.measureImport(b)}
}

// measureOverlay makes overlays on one base, on the same file system. The file has a
// name in both ways; that it survives a power cut is looked after in neither.
func (h *host) measureOverlay(b *testing.B) row {
	const size = 20 << 30
	folder := b.TempDir()
	base, path := filepath.Join(folder, "base.qcow2"), filepath.Join(folder, "overlay.qcow2")
	if err := images.CreateOverlay(base, images.Overlay{VirtualSize: size}); err != nil {
		b.Fatal(err)
	}
	// What is timed is right, too.
	fine := func() {
		h.MustRun(b, "qemu-img", "check", "-q", path)
		if err := os.Remove(path); err != nil {
			b.Fatal(err)
		}
	}
	found := rounds(20,
		func() float64 {
			defer fine()
			return taking(func() {
				err := images.CreateOverlay(path, images.Overlay{
					VirtualSize: size, BackingFile: base, BackingFormat: images.QCOW2,
				})
				if err != nil {
					b.Fatal(err)
				}
			})
		},
		func() float64 {
			defer fine()
			return taking(func() {
				h.MustRun(b, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path)
			})
		})
	return row{
		what: "an overlay on an image", unit: microseconds,
		kvmrun: found[0], against: "`qemu-img create -b`", other: found[1],
		goal: below(.001, microseconds).and(atMost(1. / 20)),
	}
}

// importSize is the size of the image that is imported, in bytes.
const importSize = 256 << 20

// measureImport imports a raw image half of which is data, and does by hand what is
// least: a qcow2 of it, its checksum, and both on the disk.
func (h *host) measureImport(b *testing.B) row {
	folder := b.TempDir()
	source := filepath.Join(folder, "disk.raw")
	halfFull(b, source, importSize)
	byHand := filepath.Join(folder, "by-hand.qcow2")
	found := rounds(5,
		func() float64 {
			defer h.MustRun(b, "kvmrun", "image", "rm", "imported")
			return taking(func() { h.MustRun(b, "kvmrun", "image", "import", source, "imported") })
		},
		func() float64 {
			return taking(func() {
				h.MustRun(b, "bash", "-euc", `
					qemu-img convert -f raw -O qcow2 "$1" "$2"
					sha256sum "$1" "$2" >/dev/null
					sync "$2"`, "bash", source, byHand)
			})
		})
	return row{
		what: fmt.Sprintf("`image import` of a raw image of %d MiB, half of it data", importSize>>20), unit: seconds,
		kvmrun: found[0], against: "`qemu-img convert`, `sha256sum` of both, `sync`", other: found[1],
	}
}

// halfFull makes a raw image whose odd MiBs are holes and whose even ones hold what
// cannot be packed.
func halfFull(b *testing.B, path string, size int64) {
	f, err := os.Create(path) //nolint:gosec // a path of this benchmark's
	if err != nil {
		b.Fatal(err)
	}
	random := rand.NewChaCha8(sha256.Sum256([]byte(path)))
	for at := int64(0); at < size && err == nil; at += 2 << 20 {
		_, err = io.CopyN(io.NewOffsetWriter(f, at), random, 1<<20)
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		b.Fatal(err)
	}
}
