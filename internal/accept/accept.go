// Package accept runs a listener's accept loop, which only the end of its
// context or of its listener can stop.
package accept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Pauses after a failed accept. Each failure in a row doubles the pause.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Serve calls handle, in a goroutine of its own, with every connection that
// listener accepts. When ctx ends it closes the listener, waits for the handlers
// and returns nil; the address is free then. It fails only if somebody else closed the
// listener. Any other error is logged and retried: a process that is out of file
// descriptors (EMFILE, ENFILE) or memory, or a client that is already gone
// (ECONNABORTED), must not stop the service for everyone else.
//
// The context of a handler ends with ctx or when Serve returns. A handler must
// return soon after that, and must close its connection.
func Serve(ctx context.Context, listener net.Listener, log *slog.Logger, handle func(context.Context, net.Conn)) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = listener.Close()
	})
	// Accept fails before the descriptor is closed, and a second Close would not wait for that.
	defer func() {
		cancel()
		<-closed
	}()
	pause := firstPause
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", listener.Addr(), err)
		case err != nil:
			log.Warn("cannot accept a connection, retrying", "address", listener.Addr(), "error", err, "after", pause)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, lastPause)
		default:
			pause = firstPause
			handlers.Go(func() { handle(ctx, conn) })
		}
	}
}
