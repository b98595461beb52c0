package collect

import (
	"context"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
)

const (
	// drainPasses is how often a drain asks each node: a line reaches the node's files,
	// and the node's list of files, some time after it was written.
	drainPasses = 2
	// drainPause is the time between the two.
	drainPause = 700 * time.Millisecond
	drainPoll  = 20 * time.Millisecond
)

// Drain waits until everything that nodes have is in the store. A nil Drain does
// nothing.
type Drain struct {
	mu     sync.Mutex           // guards the fields below
	begun  chan struct{}        // closed by the next drain
	hurry  int                  // drains in progress
	caught map[string]time.Time // when the last complete round of a node began
}

// NewDrain returns a Drain.
func NewDrain() *Drain {
	return &Drain{begun: make(chan struct{}), caught: map[string]time.Time{}}
}

// round returns the context of a request to a node, which ends when a drain begins, and
// whether one is in progress.
func (d *Drain) round(ctx context.Context) (context.Context, bool, func()) {
	if d == nil {
		return ctx, false, func() {}
	}
	d.mu.Lock()
	begun, hurry := d.begun, d.hurry > 0
	d.mu.Unlock()
	if hurry {
		return ctx, true, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-begun:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, false, cancel
}

// caughtUp notes that everything that a node had at a time is in the store.
func (d *Drain) caughtUp(node string, at time.Time) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.caught[node] = at
}

// Forget notes that a node does not exist any more. The collection from it has ended.
func (d *Drain) Forget(node string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.caught, node)
}

// Wait returns once everything that nodes have now is in the store, or when ctx ends.
// Nodes that never answered do not count.
func (d *Drain) Wait(ctx context.Context) {
	d.mu.Lock()
	d.hurry++
	close(d.begun)
	d.begun = make(chan struct{})
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.hurry--
	}()
	for pass := range drainPasses {
		if pass > 0 && pause.For(ctx, drainPause) != nil {
			return
		}
		for since := time.Now(); !d.since(since); {
			if pause.For(ctx, drainPoll) != nil {
				return
			}
		}
	}
}

// since reports whether all nodes have caught up since a time.
func (d *Drain) since(at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, caught := range d.caught {
		if caught.Before(at) {
			return false
		}
	}
	return true
}
