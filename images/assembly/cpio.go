package assembly

import (
	"fmt"
	"io"
)

// File types of a cpio header, as in stat(2).
const (
	typeRegular   = 0o100000
	typeDirectory = 0o040000
	typeCharacter = 0o020000
)

// cpioWriter writes the "newc" format that the kernel unpacks
// (https://docs.kernel.org/driver-api/early-userspace/buffer-format.html). Every
// entry is owned by root and has no timestamp.
type cpioWriter struct {
	w     io.Writer
	inode int
	err   error
}

// entry writes one file. After an error it does nothing.
func (c *cpioWriter) entry(name string, mode, major, minor int, content []byte) {
	c.inode++
	header := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		c.inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0)
	c.padded([]byte(header + name + "\x00"))
	c.padded(content)
}

func (c *cpioWriter) directory(name string) { c.entry(name, typeDirectory|0o755, 0, 0, nil) }

func (c *cpioWriter) file(name string, mode int, content []byte) {
	c.entry(name, typeRegular|mode, 0, 0, content)
}

func (c *cpioWriter) character(name string, mode, major, minor int) {
	c.entry(name, typeCharacter|mode, major, minor, nil)
}

// close writes the trailer and returns the first error.
func (c *cpioWriter) close() error {
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.err
}

// padded writes bytes, padded with zeros to a multiple of four.
func (c *cpioWriter) padded(b []byte) {
	if c.err != nil {
		return
	}
	if _, c.err = c.w.Write(b); c.err == nil && len(b)%4 != 0 {
		_, c.err = c.w.Write(make([]byte, 4-len(b)%4))
	}
}
