package lima

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"

	"github.com/skiff-dev/skiff/internal/boundedlog"
)

// maxConsole limits a machine's console log, in bytes; it takes at most twice as
// much. A guest's root can write to its serial port as much as it likes.
const maxConsole = 8 << 20

// consoleSock is where a machine's serial console connects to. Lima deletes
// filenames.SerialSock when it starts a machine, because it expects QEMU to listen
// there.
const consoleSock = "console.sock"

// console writes to a log what one machine sends to its serial port.
type console struct {
	listener net.Listener
	path     string
	done     chan error // receives the result of serve
}

// openConsole listens for the machine in dir. The log of its previous run, which
// shows why that ended, becomes serial.log.1.
func openConsole(dir string) (*console, error) {
	path := filepath.Join(dir, filenames.SerialLog)
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	socket := filepath.Join(dir, consoleSock)
	if err := remove(socket); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	c := &console{listener: listener, path: path, done: make(chan error, 1)}
	go func() { c.done <- c.serve() }()
	return c, nil
}

// serve follows the one machine that connects. It creates the log only then, because
// Lima deletes a file of that name when it starts the machine.
func (c *console) serve() error {
	conn, err := c.listener.Accept()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	log, err := boundedlog.Open(c.path, maxConsole)
	if err != nil {
		return err
	}
	_, _ = io.Copy(log.Lossy(), conn)
	return log.Close()
}

// Close waits until what the machine sent before it ended is in the log.
func (c *console) Close() error {
	return errors.Join(c.listener.Close(), <-c.done)
}
