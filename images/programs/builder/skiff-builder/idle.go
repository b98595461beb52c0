package main

import (
	"net"
	"sync"
	"time"
)

// watched is a listener that knows how many of its connections are open.
type watched struct {
	net.Listener
	// changed has the number of open connections after the last change.
	changed chan int

	mu   sync.Mutex // guards open and the order of changes
	open int
}

func (w *watched) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w.add(1)
	return &connection{Conn: conn, closed: sync.OnceFunc(func() { w.add(-1) })}, nil
}

func (w *watched) add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open += n
	select {
	case <-w.changed: // nobody has seen the last change yet
	default:
	}
	w.changed <- w.open
}

// idle returns a channel that is closed when no connection has been open for a
// duration.
func (w *watched) idle(duration time.Duration) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		timer := time.NewTimer(duration)
		for {
			select {
			case open := <-w.changed:
				timer.Stop()
				if open == 0 {
					timer.Reset(duration)
				}
			case <-timer.C:
				close(ended)
				return
			}
		}
	}()
	return ended
}

type connection struct {
	net.Conn
	closed func()
}

func (c *connection) Close() error {
	c.closed()
	return c.Conn.Close()
}
