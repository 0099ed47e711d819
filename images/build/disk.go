package build

import (
	"errors"
	"io"
	"os"

	"github.com/diskfs/go-diskfs/partition/gpt"
	"golang.org/x/sys/unix"
)

// The partitions, in bytes. That of the root file system is the last one, so that it
// can grow.
const (
	alignment = 1 << 20
	biosSize  = 1 << 20
	espSize   = 16 << 20
	biosStart = alignment
	espStart  = biosStart + biosSize
	rootStart = espStart + espSize
	rootSpare = alignment // behind it, for the second partition table
)

// rootSize is that of the root file system, in bytes.
func (b *builder) rootSize() int64 { return b.Size - rootStart - rootSpare }

// assemble makes disk.raw of the parts.
func (b *builder) assemble() (err error) {
	disk, err := os.OpenFile(b.file("disk.raw"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	if err := disk.Truncate(b.Size); err != nil {
		return err
	}
	if err := b.partition(disk); err != nil {
		return err
	}
	code, err := bootSector(biosStart / sector)
	if err != nil {
		return err
	}
	core, err := b.coreImage(biosStart / sector)
	if err != nil {
		return err
	}
	if _, err := disk.WriteAt(code, 0); err != nil {
		return err
	}
	if _, err := disk.WriteAt(core, biosStart); err != nil {
		return err
	}
	if err := place(disk, espStart, b.file("esp.img")); err != nil {
		return err
	}
	return place(disk, rootStart, b.file("root.img"))
}

func (b *builder) partition(disk *os.File) error {
	part := func(index int, name string, kind gpt.Type, start, size int64) *gpt.Partition {
		return &gpt.Partition{Index: index, Name: name, Type: kind, GUID: b.id(name).String(),
			Start: uint64(start / sector), End: uint64((start+size)/sector - 1), Size: uint64(size)}
	}
	table := &gpt.Table{
		LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: true, GUID: b.id("disk").String(),
		Partitions: []*gpt.Partition{
			part(1, "bios", gpt.BIOSBoot, biosStart, biosSize),
			part(2, "esp", gpt.EFISystemPartition, espStart, espSize),
			part(3, "root", gpt.LinuxRootX86_64, rootStart, b.rootSize()),
		},
	}
	return table.Write(disk, b.Size)
}

// place copies a file to a place of the disk. Holes stay holes.
func place(disk *os.File, at int64, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for from := int64(0); ; {
		from, err = unix.Seek(int(f.Fd()), from, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		to, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(disk, at+from), io.NewSectionReader(f, from, to-from)); err != nil {
			return err
		}
		from = to
	}
}
