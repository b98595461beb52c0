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
