package build

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
)

// fill unpacks the root folder, in the order of its names, and makes a file system of
// it. On a file system in memory a folder lists its files in the order in which they
// came, and mke2fs takes them in that order.
const fill = `tar -x -p --numeric-owner --xattrs --xattrs-include='*' -f root.tar -C scratch &&
exec "$0" -d scratch "$@"`

// features are ext4's as Debian 12 has them, whatever the host would choose, so that
// every GRUB reads them.
const features = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"

// config takes the place of the host's mke2fs.conf(5), and says nothing.
const config = "[defaults]\n[fs_types]\n\text4 = {\n\t}\n"

// makeRoot makes root.img of root.tar.
func (b *builder) makeRoot() error {
	root := b.file("root.img")
	blocks := b.rootSize() / blockSize
	if err := write(b.file("mke2fs.conf"), config, 0o600); err != nil {
		return err
	}
	err := b.apart("making the file system", []string{"MKE2FS_CONFIG=" + b.file("mke2fs.conf")}, "/bin/sh", "-c", fill, program("mke2fs"),
		"-q", "-F", "-t", "ext4", "-O", features, "-b", strconv.Itoa(blockSize), "-I", "256", "-i", "16384", "-m", "1", "-J", "size=32",
		"-L", "root", "-U", b.id("root").String(), "-E", "hash_seed="+b.id("hash").String()+",lazy_itable_init=0,root_owner=0:0",
		root, strconv.FormatInt(blocks, 10))
	if err != nil {
		return err
	}
	if err := os.Remove(b.file("root.tar")); err != nil {
		return err
	}
	f, err := os.OpenFile(root, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(settleTimes(f, uint32(b.Epoch)), f.Close()); err != nil {
		return fmt.Errorf("set the times of the file system: %w", err)
	}
	return nil
}

const blockSize = 4096

// Places in ext4's structures, in bytes (the kernel's documentation, "ext4 Data
// Structures and Algorithms").
const (
	superBlock = 1024

	superInodes         = 0x00
	superInodesPerGroup = 0x28
	superInodeSize      = 0x58
	superUUID           = 0x68
	superDescSize       = 0xfe

	descInodeTable     = 0x08
	descInodeTableHigh = 0x28

	inodeMode       = 0x00
	inodeATime      = 0x08
	inodeCTime      = 0x0c
	inodeMTime      = 0x10
	inodeGeneration = 0x64
	inodeSumLow     = 0x7c
	inodeSumHigh    = 0x82
	inodeCTimeExtra = 0x84
	inodeMTimeExtra = 0x88
	inodeATimeExtra = 0x8c
	inodeCrTime     = 0x90
	inodeCrExtra    = 0x94
)

// settleTimes has every inode changed, read and made at the epoch, and none younger.
// mke2fs -d takes those from the folder, where nobody can set them all. The file
// system has blocks of 4 KiB, inodes of 256 bytes or more, and checksums.
func settleTimes(f *os.File, epoch uint32) error {
	little := binary.LittleEndian
	super := make([]byte, 1024)
	if _, err := f.ReadAt(super, superBlock); err != nil {
		return err
	}
	perGroup, size := little.Uint32(super[superInodesPerGroup:]), int64(little.Uint16(super[superInodeSize:]))
	descSize := int64(little.Uint16(super[superDescSize:]))
	if perGroup == 0 || size < 256 || descSize < 64 {
		return errors.New("mke2fs has made another file system than it was told to")
	}
	seed := checksum(^uint32(0), super[superUUID:superUUID+16])
	table := make([]byte, int64(perGroup)*size)
	for group := range int64(little.Uint32(super[superInodes:]) / perGroup) {
		desc := make([]byte, descSize)
		if _, err := f.ReadAt(desc, blockSize+group*descSize); err != nil {
			return err
		}
		at := blockSize * (int64(little.Uint32(desc[descInodeTable:])) | int64(little.Uint32(desc[descInodeTableHigh:]))<<32)
		if _, err := f.ReadAt(table, at); err != nil {
			return err
		}
		for inode := table; len(inode) > 0; inode = inode[size:] {
			if little.Uint16(inode[inodeMode:]) == 0 {
				continue
			}
			offset := int64(len(table) - len(inode))
			settleInode(inode[:size], epoch)
			sumInode(inode[:size], seed, uint32(group)*perGroup+uint32(offset/size)+1)
			if _, err := f.WriteAt(inode[:size], at+offset); err != nil {
				return err
			}
		}
	}
	return nil
}

func settleInode(inode []byte, epoch uint32) {
	little := binary.LittleEndian
	for _, field := range []int{inodeATime, inodeCTime, inodeCrTime} {
		little.PutUint32(inode[field:], epoch)
	}
	little.PutUint32(inode[inodeMTime:], min(little.Uint32(inode[inodeMTime:]), epoch))
	for _, field := range []int{inodeATimeExtra, inodeCTimeExtra, inodeMTimeExtra, inodeCrExtra} {
		little.PutUint32(inode[field:], 0)
	}
}

// sumInode writes the checksum of the inode of a number.
func sumInode(inode []byte, seed, number uint32) {
	little := binary.LittleEndian
	little.PutUint16(inode[inodeSumLow:], 0)
	little.PutUint16(inode[inodeSumHigh:], 0)
	sum := checksum(seed, little.AppendUint32(nil, number))
	sum = checksum(sum, inode[inodeGeneration:inodeGeneration+4])
	sum = checksum(sum, inode)
	little.PutUint16(inode[inodeSumLow:], uint16(sum))
	little.PutUint16(inode[inodeSumHigh:], uint16(sum>>16))
}

// checksum is ext4's CRC-32C, which goes on with the bytes where it was, and is not
// inverted in the end.
func checksum(sum uint32, p []byte) uint32 {
	return ^crc32.Update(^sum, castagnoli, p)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
