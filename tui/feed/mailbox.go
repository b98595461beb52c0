package feed

import (
	"context"
	"sync"
	"time"
)

// Joining is a delivery that is appended to the one before, if nobody has taken
// that yet, and does not replace it.
type Joining interface{ After(before any) any }

// Interval between two deliveries of one feed.
const Interval = 100 * time.Millisecond

// Mailbox holds the newest delivery until somebody takes it.
type Mailbox struct {
	mu      sync.Mutex // guards pending
	pending any
	full    chan struct{}
	taken   time.Time // of the one taker
}

// NewMailbox returns an empty mailbox.
func NewMailbox() *Mailbox { return &Mailbox{full: make(chan struct{}, 1)} }

// Put never blocks.
func (m *Mailbox) Put(delivery any) {
	m.mu.Lock()
	if joining, ok := delivery.(Joining); ok && m.pending != nil {
		delivery = joining.After(m.pending)
	}
	m.pending = delivery
	m.mu.Unlock()
	select {
	case m.full <- struct{}{}:
	default:
	}
}

// Take waits for a delivery, no more often than every Interval; false when ctx
// has ended. It is for one goroutine at a time.
func (m *Mailbox) Take(ctx context.Context) (any, bool) {
	if rest := Interval - time.Since(m.taken); rest > 0 {
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(rest):
		}
	}
	select {
	case <-ctx.Done():
		return nil, false
	case <-m.full:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delivery := m.pending
	m.pending = nil
	m.taken = time.Now()
	return delivery, delivery != nil
}
