package offline

import (
	"golang.org/x/sys/unix"
)

// memoryMiB returns the host's memory, 0 if it is unknown.
func memoryMiB() int {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int(uint64(info.Totalram) * uint64(info.Unit) >> 20)
}
