package etcd

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Raft drops what is proposed while the leadership changes hands (leadTransferee in
// go.etcd.io/raft), also what other members have passed on to the leader, which
// then wait in vain. So a change that is meant is announced in etcd itself:
// each member holds its transactions back, waits for those that are under way and
// agrees; what was announced ends with its lease.
const (
	handoverKey = "skiff/handover"
	// handoverSeconds is how long an announcement lasts whose author has died.
	handoverSeconds = 10
	// holdLimit is how long a member holds back at most, whatever becomes of the
	// author, and agreeLimit how long the author waits for members that do not agree.
	holdLimit, agreeLimit = 5 * time.Second, 2 * time.Second
	agreePoll             = 5 * time.Millisecond
)

// gate holds transactions back. Its zero value is open.
type gate struct {
	mu      sync.Mutex    // guards what follows
	held    chan struct{} // closed by release; nil while the gate is open
	passing int           // transactions that are under way
	idle    chan struct{} // closed when none is; nil if nobody waits for it
}

// enter waits until the gate is open; leave must be called unless it fails, which
// it does with the end of ctx.
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

// hold closes the gate; what it returns is closed when no transaction is under way
// any more.
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

// follow holds back while a change of leadership is announced, until ctx ends. name
// is this member's.
func (g *gate) follow(ctx context.Context, c *clientv3.Client, name string) {
	defer g.release()
	// A timer of the change before would open the gate in the middle of the next.
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
					// If it cannot, the author waits a little longer.
					_, _ = c.Put(ctx, handoverKey+"/"+name, "", clientv3.WithLease(lease))
				case <-ctx.Done():
				}
			}()
		}
	}
}

// announced calls do while that many members hold their transactions back. Where
// they cannot be told, as when the database is full, it calls do all the same.
func announced(ctx context.Context, c *clientv3.Client, members int, do func() error) error {
	lease, err := c.Grant(ctx, handoverSeconds)
	if err != nil {
		return do()
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), agreeLimit)
		defer cancel()
		_, _ = c.Revoke(ctx, lease.ID) // it ends by itself
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

// agree counts the members that have agreed to what was announced with a lease.
func agree(answer *clientv3.GetResponse, lease clientv3.LeaseID) (members int) {
	for _, pair := range answer.Kvs {
		if clientv3.LeaseID(pair.Lease) == lease {
			members++
		}
	}
	return members
}
