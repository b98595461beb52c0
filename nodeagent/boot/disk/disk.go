// Package disk identifies what is on a node's disks, and never formats a disk that
// might contain anything else.
package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Kind is the kind of content at the beginning of a disk.
type Kind string

// The kinds.
const (
	// Blank is a disk whose first bytes are all zero.
	Blank Kind = "blank"
	// Unfinished is a disk that was being formatted when the machine stopped.
	Unfinished Kind = "unfinished"
	Ext4       Kind = "ext4"
	Erofs      Kind = "erofs"
	// Document is a node document, which begins with a brace.
	Document Kind = "document"
	// Foreign is anything else, which must not be overwritten.
	Foreign Kind = "foreign"
)

const (
	// headSize is how much of a disk is read. It covers the signatures of the usual
	// file systems, partition tables and volume managers.
	headSize = 128 << 10
	// superblock is the offset of the superblock of ext4 and erofs.
	superblock   = 1024
	erofsMagic   = 0xE0F5E1E2
	ext4Magic    = 0xEF53
	marker       = "skiff: making a filesystem\n"
	stateClean   = 1
	stateError   = 2
	incompat64   = 0x80
	maxLogBlocks = 6 // 64 KiB, the largest that ext4 allows
)

// Classify returns the kind of the first headSize bytes of a disk.
func Classify(head []byte) Kind {
	at := func(offset int) uint32 {
		if len(head) < offset+4 {
			return 0
		}
		return binary.LittleEndian.Uint32(head[offset:])
	}
	switch {
	case bytes.HasPrefix(head, []byte(marker)):
		return Unfinished
	case at(superblock) == erofsMagic:
		return Erofs
	case uint16(at(superblock+56)) == ext4Magic:
		return Ext4
	case bytes.HasPrefix(head, []byte("{")):
		return Document
	case len(bytes.TrimLeft(head, "\x00")) == 0:
		return Blank
	default:
		return Foreign
	}
}

// Probe reads the beginning of a device and classifies it.
func Probe(device string) (Kind, error) {
	f, err := os.Open(device)
	if err != nil {
		return "", err
	}
	defer f.Close()
	// The first page identifies most disks; only a blank one needs more.
	head := make([]byte, headSize)
	n, err := io.ReadFull(f, head[:4096])
	if n == 0 || (err != nil && !errors.Is(err, io.ErrUnexpectedEOF)) {
		return "", fmt.Errorf("read %s: %w", device, err)
	}
	if kind := Classify(head[:n]); kind != Blank {
		return kind, nil
	}
	more, err := io.ReadFull(f, head[n:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read %s: %w", device, err)
	}
	return Classify(head[:n+more]), nil
}

// superblockInfo is the part of an ext4 superblock that decides whether to check and
// to grow the file system
// (https://docs.kernel.org/filesystems/ext4/globals.html#super-block).
type superblockInfo struct {
	bytes int64
	// check is true if the file system has errors or was not unmounted. A journal that
	// must be replayed needs no check: the kernel does that when it mounts.
	check bool
}

// readSuperblock decodes an ext4 superblock of 1024 bytes.
func readSuperblock(b []byte) (superblockInfo, error) {
	if len(b) < 1024 || binary.LittleEndian.Uint16(b[56:]) != ext4Magic {
		return superblockInfo{}, errors.New("not an ext4 superblock")
	}
	logBlock := binary.LittleEndian.Uint32(b[24:])
	if logBlock > maxLogBlocks {
		return superblockInfo{}, fmt.Errorf("ext4 superblock: block size 2^%d KiB", logBlock)
	}
	blocks := uint64(binary.LittleEndian.Uint32(b[4:]))
	if binary.LittleEndian.Uint32(b[96:])&incompat64 != 0 {
		blocks |= uint64(binary.LittleEndian.Uint32(b[0x150:])) << 32
	}
	if blocks > 1<<46 {
		return superblockInfo{}, fmt.Errorf("ext4 superblock: %d blocks", blocks)
	}
	state := binary.LittleEndian.Uint16(b[58:])
	return superblockInfo{
		bytes: int64(blocks) << (10 + logBlock),
		check: state&stateClean == 0 || state&stateError != 0,
	}, nil
}
