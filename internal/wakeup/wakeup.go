// Package wakeup tells a loop that it has something to do. Whoever tells it never
// waits, and signals that arrive before the loop looks again count as one.
package wakeup

// Signal is received from as any channel. New returns one.
type Signal chan struct{}

// New returns a Signal that has not been sent.
func New() Signal { return make(Signal, 1) }

// Send makes the next receive return at once.
func (s Signal) Send() {
	select {
	case s <- struct{}{}:
	default: // the loop has not seen the last one yet
	}
}
