package standby

import (
	"context"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/wakeup"
)

// Kind is what uses a cluster, in words for users.
type Kind string

// The kinds.
const (
	API      Kind = "connections to the API"
	Ports    Kind = "connections to load balancers and ports"
	Names    Kind = "requests to names of Services"
	Network  Kind = "connections to addresses of the cluster"
	Requests Kind = "requests of skiff"
	Changes  Kind = "changes of the cluster"
)

// Gate counts the uses of a cluster, and holds those that begin while it is asleep. Its
// methods may be called concurrently.
type Gate struct {
	changed wakeup.Signal

	mu     sync.Mutex   // guards what follows
	uses   map[Kind]int // those that have not ended; no kind has 0
	work   int          // of the daemon itself
	last   time.Time
	asleep bool
	turned chan struct{} // closed and replaced when asleep changes
}

// New returns the gate of a cluster that is awake and was used just now.
func New() *Gate {
	return &Gate{changed: wakeup.New(), uses: map[Kind]int{}, last: time.Now(), turned: make(chan struct{})}
}

// Changed receives when a decision may be different from the last one.
func (g *Gate) Changed() <-chan struct{} { return g.changed }

// Notice makes Changed receive, because what is not known here has changed.
func (g *Gate) Notice() { g.changed.Send() }

// Facts returns what is known of the uses, with the setting after.
func (g *Gate) Facts(after time.Duration) Facts {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Facts{After: after, Uses: len(g.uses), Last: g.last, Asleep: g.asleep}
}

// Uses returns how many uses of each kind have not ended.
func (g *Gate) Uses() map[Kind]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.uses)
}

// Asleep reports whether the cluster is asleep, or falling asleep.
func (g *Gate) Asleep() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asleep
}

// User returns Use for one kind.
func (g *Gate) User(as Kind) func(ctx context.Context) (end func(), err error) {
	return func(ctx context.Context) (func(), error) { return g.Use(ctx, as) }
}

// Use begins a use. If the cluster is asleep, it returns once the cluster is awake. An
// error is that of ctx. The caller calls end when the use has ended.
func (g *Gate) Use(ctx context.Context, as Kind) (end func(), err error) {
	end = g.Hold(as)
	if err := g.Await(ctx); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// Hold begins a use and does not wait.
func (g *Gate) Hold(as Kind) (end func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.uses[as]++
	if g.asleep {
		g.changed.Send()
	}
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.last = time.Now()
		if g.uses[as]--; g.uses[as] == 0 {
			delete(g.uses, as)
		}
		if len(g.uses) == 0 {
			g.changed.Send()
		}
	})
}

// Await returns once the cluster is awake. An error is that of ctx.
func (g *Gate) Await(ctx context.Context) error {
	for {
		g.mu.Lock()
		asleep, turned := g.asleep, g.turned
		g.mu.Unlock()
		if !asleep {
			return nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Work begins something that the daemon itself asks of the nodes and that is no use. The
// cluster does not fall asleep until end is called. If it is asleep, ok is false.
func (g *Gate) Work() (end func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asleep {
		return nil, false
	}
	g.work++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.work--; g.work == 0 {
			g.changed.Send()
		}
	}), true
}

// WhileAwake returns a context that ends with ctx, or when the cluster falls asleep. The
// caller calls cancel when it does not need it any more.
func (g *Gate) WhileAwake(ctx context.Context) (awake context.Context, cancel context.CancelFunc) {
	awake, cancel = context.WithCancel(ctx)
	g.mu.Lock()
	asleep, turned := g.asleep, g.turned
	g.mu.Unlock()
	if asleep {
		cancel()
		return awake, cancel
	}
	go func() {
		select {
		case <-turned:
			cancel()
		case <-awake.Done():
		}
	}()
	return awake, cancel
}

// TryToSleep makes the cluster fall asleep, unless it is in use, was used within the time
// after, or the daemon is working on it.
func (g *Gate) TryToSleep(after time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asleep || len(g.uses) > 0 || g.work > 0 || time.Since(g.last) < after {
		return false
	}
	g.turn(true)
	return true
}

// Wake ends the sleep and lets go of all uses that wait for that.
func (g *Gate) Wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asleep {
		g.last = time.Now()
		g.turn(false)
	}
}

// turn changes whether the cluster is asleep. The caller holds g.mu.
func (g *Gate) turn(asleep bool) {
	g.asleep = asleep
	close(g.turned)
	g.turned = make(chan struct{})
	g.changed.Send()
}

// DialFunc connects to an address, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a DialFunc whose connections are uses until they are closed.
func (g *Gate) Dial(as Kind, dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		end, err := g.Use(ctx, as)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			end()
			return nil, err
		}
		return &Conn{Conn: conn, Ended: end}, nil
	}
}
