package etcd

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// During a leadership transfer raft drops proposals (leadTransferee in
// go.etcd.io/raft), including those that other members have forwarded to the
// leader, whose clients then wait until they time out. Therefore an intended
// transfer is announced by a key in etcd itself: each member holds new transactions
// back, waits for those in flight and acknowledges. The announcement ends with its
// lease.
const (
	handoverKey = "skiff/handover"
	// handoverSeconds is the lease of an announcement, in case its author dies.
	handoverSeconds = 10
	// holdLimit bounds how long a member holds transactions back, whatever happens
	// to the author; agreeLimit bounds how long the author waits for
	// acknowledgements.
	holdLimit, agreeLimit = 5 * time.Second, 2 * time.Second
	agreePoll             = 5 * time.Millisecond
)

// gate holds transactions back. Its zero value is open.
type gate struct {
	mu      sync.Mutex    // guards the fields below
	held    chan struct{} // closed by release; nil while the gate is open
	passing int           // transactions in flight
	idle    chan struct{} // closed when none is in flight; nil if nobody waits for that
}

// enter waits until the gate is open, or returns an error when ctx ends. After
// success the caller must call leave.
func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		held := g.held
		if held == nil {
			g.passing++
		}
		g.mu.Unlock()
		if held == nil {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passing--
	if g.passing == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// hold closes the gate. The returned channel is closed once no transaction is in
// flight.
func (g *gate) hold() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		g.held = make(chan struct{})
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	if g.passing == 0 {
		close(g.idle)
		g.idle = nil
	}
	return idle
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != nil {
		close(g.held)
		g.held = nil
	}
}

// follow closes the gate while a handover is announced, until ctx ends. name is this
// member's.
func (g *gate) follow(ctx context.Context, c *clientv3.Client, name string) {
	defer g.release()
	// The timer of an earlier handover must not open the gate during the next one.
	expired := time.AfterFunc(holdLimit, g.release)
	defer func() { expired.Stop() }()
	for seen := range c.Watch(ctx, handoverKey) {
		for _, event := range seen.Events {
			expired.Stop()
			if event.Type == clientv3.EventTypeDelete {
				g.release()
				continue
			}
			lease := clientv3.LeaseID(event.Kv.Lease)
			idle := g.hold()
			expired = time.AfterFunc(holdLimit, g.release)
			go func() {
				select {
				case <-idle:
					// Without the acknowledgement the author waits for agreeLimit.
					_, _ = c.Put(ctx, handoverKey+"/"+name, "", clientv3.WithLease(lease))
				case <-ctx.Done():
				}
			}()
		}
	}
}

// announced calls do while that many members hold their transactions back. If the
// announcement fails, for example because the database is full, it calls do anyway.
func announced(ctx context.Context, c *clientv3.Client, members int, do func() error) error {
	lease, err := c.Grant(ctx, handoverSeconds)
	if err != nil {
		return do()
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), agreeLimit)
		defer cancel()
		_, _ = c.Revoke(ctx, lease.ID) // the lease expires anyway
	}()
	if _, err := c.Put(ctx, handoverKey, "", clientv3.WithLease(lease.ID)); err != nil {
		return do()
	}
	for deadline := time.Now().Add(agreeLimit); ctx.Err() == nil && time.Now().Before(deadline); time.Sleep(agreePoll) {
		agreed, err := c.Get(ctx, handoverKey+"/", clientv3.WithPrefix())
		if err != nil || agree(agreed, lease.ID) >= members {
			break
		}
	}
	return do()
}

// agree counts the members that acknowledged the announcement with that lease.
func agree(answer *clientv3.GetResponse, lease clientv3.LeaseID) (members int) {
	for _, pair := range answer.Kvs {
		if clientv3.LeaseID(pair.Lease) == lease {
			members++
		}
	}
	return members
}
