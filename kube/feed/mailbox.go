package feed

import (
	"context"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/wakeup"
)

// Appendable is a delivery that does not replace an earlier one that is still
// waiting, but is appended to it.
type Appendable interface{ AppendTo(earlier any) any }

// Interval is the minimum time between two deliveries of one feed.
const Interval = 100 * time.Millisecond

// Mailbox holds the newest delivery until it is taken.
type Mailbox struct {
	mu      sync.Mutex // guards pending
	pending any
	full    wakeup.Signal
	taken   time.Time // only used by the goroutine that calls Take
}

// NewMailbox returns an empty mailbox.
func NewMailbox() *Mailbox { return &Mailbox{full: wakeup.New()} }

// Put stores a delivery. It never blocks.
func (m *Mailbox) Put(delivery any) {
	m.mu.Lock()
	if appendable, ok := delivery.(Appendable); ok && m.pending != nil {
		delivery = appendable.AppendTo(m.pending)
	}
	m.pending = delivery
	m.mu.Unlock()
	m.full.Send()
}

// Take waits for a delivery and returns it, at most once per Interval. It
// returns false when ctx is done. Only one goroutine may call it at a time.
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
