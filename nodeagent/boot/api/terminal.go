package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo-terminal (pts(4)).
func openTerminal(rows, columns uint16) (control, terminal *os.File, err error) {
	control, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, control.Close())
		}
	}()
	var number int
	err = withFd(control, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("new terminal: %w", err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if rows > 0 && columns > 0 {
		if err = setSize(control, rows, columns); err != nil {
			return nil, nil, errors.Join(err, terminal.Close())
		}
	}
	return control, terminal, nil
}

func setSize(control *os.File, rows, columns uint16) error {
	return withFd(control, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
}

// withFd calls f with the descriptor. Unlike os.File.Fd, it keeps the file in the
// runtime's poller.
func withFd(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// terminalInput writes to a terminal. Close sends the end-of-file character, since
// the file is still needed for the output.
type terminalInput struct{ *os.File }

const endOfFile = 4 // Ctrl-D

func (t terminalInput) Close() error {
	_, err := t.Write([]byte{endOfFile})
	return err
}

// peerPoll is how often an idle connection is checked.
const peerPoll = time.Second

// watchPeer calls gone when the host has closed its end of the connection, and ask
// before each check. While a program does not read its stdin, nothing is read from
// the connection, so no read would fail.
func watchPeer(ctx context.Context, conn net.Conn, ask, gone func()) {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	owner, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := owner.SyscallConn()
	if err != nil {
		return
	}
	tick := time.NewTicker(peerPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ask()
		var events int16
		err := raw.Control(func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
			if n, err := unix.Poll(fds, 0); n == 1 && err == nil {
				events = fds[0].Revents
			}
		})
		if err != nil || events&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0 {
			gone()
			return
		}
	}
}
