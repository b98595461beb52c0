//go:build !linux

package saved

// The values of SEEK_HOLE and SEEK_DATA in lseek(2) of macOS.
const (
	seekHole = 3
	seekData = 4
)
