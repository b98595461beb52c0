// Package splice joins two connections, so that each sends what the other
// receives.
package splice

import (
	"io"
	"net"
	"sync"
)

// Both copies both ways until both directions have ended. A side that closed its
// writing half may still read. The caller closes the connections.
func Both(a, b net.Conn) {
	var copies sync.WaitGroup
	copies.Go(func() { forward(a, b) })
	copies.Go(func() { forward(b, a) })
	copies.Wait()
}

// forward copies until source ends and then closes the writing half of target. If
// either breaks, it closes both: the other direction is of no use without this
// one.
func forward(target, source net.Conn) {
	_, err := io.Copy(target, source)
	half, ok := target.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_ = target.Close()
		_ = source.Close()
	}
}
