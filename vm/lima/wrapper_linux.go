package lima

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func dieWithParent() error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0)
}

func duplicate(from, to int) error { return unix.Dup3(from, to, 0) }
