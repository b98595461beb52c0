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
	log      *boundedlog.File
	done     chan struct{} // closed when everything is written
}

// openConsole listens for the machine in dir. The log of its previous run, which
// says why that ended, becomes serial.log.1.
func openConsole(dir string) (*console, error) {
	path := filepath.Join(dir, filenames.SerialLog)
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	socket := filepath.Join(dir, consoleSock)
	if err := remove(socket); err != nil {
		return nil, err
	}
	log, err := boundedlog.Open(path, maxConsole)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	c := &console{listener: listener, log: log, done: make(chan struct{})}
	go c.serve()
	return c, nil
}

// serve follows the one machine that connects.
func (c *console) serve() {
	defer close(c.done)
	conn, err := c.listener.Accept()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.Copy(c.log.Lossy(), conn)
}

// Close waits until what the machine sent before it ended is in the log.
func (c *console) Close() error {
	err := c.listener.Close()
	<-c.done
	return errors.Join(err, c.log.Close())
}
