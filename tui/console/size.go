package console

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
	"k8s.io/client-go/tools/remotecommand"
)

// sizeQueue reports the terminal's size to the container, at first and after
// every change.
type sizeQueue struct {
	fd      int
	changed chan os.Signal
	done    chan struct{}
}

func newSizeQueue(fd int) *sizeQueue {
	q := &sizeQueue{fd: fd, changed: make(chan os.Signal, 1), done: make(chan struct{})}
	q.changed <- syscall.SIGWINCH // report the initial size
	signal.Notify(q.changed, syscall.SIGWINCH)
	return q
}

func (q *sizeQueue) stop() {
	signal.Stop(q.changed)
	close(q.done)
}

// Next implements remotecommand.TerminalSizeQueue.
func (q *sizeQueue) Next() *remotecommand.TerminalSize {
	select {
	case <-q.done:
		return nil
	case <-q.changed:
	}
	width, height, err := term.GetSize(q.fd)
	if err != nil {
		return nil
	}
	return &remotecommand.TerminalSize{Width: uint16(width), Height: uint16(height)}
}
