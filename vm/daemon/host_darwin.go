package daemon

import "golang.org/x/sys/unix"

// memoryMiB is the host's memory.
func memoryMiB() int {
	bytes, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int(bytes >> 20)
}
