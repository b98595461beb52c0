package build

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"
)

// Offsets in an x86 boot image
// (https://docs.kernel.org/arch/x86/boot.html#the-real-mode-kernel-header).
const (
	bootSectors  = 0x1f1
	bootMagic    = 0x202
	bootPayload  = 0x248
	payloadEnd   = bootPayload + 8
	bootHeader   = "HdrS"
	sectorBytes  = 512
	maxKernel    = 256 << 20
	lz4Magic     = 0x184c2102 // of its legacy frame, which the kernel's build writes
	elfSignature = "\x7fELF"
)

// uncompressed is the ELF kernel inside an x86 boot image: QEMU starts it
// directly (PVH), and the guest is spared from decompressing it, which it would
// do slowly under emulation. An image of another kind, or with another
// compression, is returned as it is: it boots too.
func uncompressed(image []byte) ([]byte, error) {
	if len(image) < payloadEnd || string(image[bootMagic:bootMagic+4]) != bootHeader {
		return image, nil
	}
	start := (int64(image[bootSectors])+1)*sectorBytes + int64(binary.LittleEndian.Uint32(image[bootPayload:]))
	end := start + int64(binary.LittleEndian.Uint32(image[bootPayload+4:]))
	// The last four bytes are the length of what the rest decompresses to.
	if end > int64(len(image)) || end-start < 8 {
		return nil, errors.New("boot image ends within its payload")
	}
	payload, want := image[start:end-4], binary.LittleEndian.Uint32(image[end-4:end])
	if binary.LittleEndian.Uint32(payload) != lz4Magic {
		return image, nil
	}
	kernel, err := io.ReadAll(io.LimitReader(lz4.NewReader(bytes.NewReader(payload)), maxKernel))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if uint32(len(kernel)) != want || !bytes.HasPrefix(kernel, []byte(elfSignature)) {
		return nil, fmt.Errorf("payload is no ELF kernel of %d bytes", want)
	}
	return kernel, nil
}
