package offline

import "golang.org/x/sys/unix"

// memoryMiB returns the host's memory, 0 if it is unknown.
func memoryMiB() int {
	bytes, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int(bytes >> 20)
}

// AvailableMiB returns how much memory programs can still get without swapping; 0 because it is
// not known here.
func AvailableMiB() int { return 0 }
