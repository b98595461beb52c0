package etcd

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// afterElection is how long a write that was under way when the leader changed
// may still take. What the old leader had passed on to a majority, the new one
// commits with its first entry; the rest is lost.
const afterElection = 500 * time.Millisecond

// errLost ends writes that were lost with a leader, as far as anybody knows.
var errLost = errors.New("the leader has changed")

// elections tells writes that the leader has changed since they began. Etcd
// itself lets them wait for seven seconds.
type elections struct {
	current atomic.Pointer[office]
}

// office is one leader's: its context ends soon after the next one is elected.
type office struct {
	ctx context.Context
	end context.CancelFunc
}

func newElections() *elections {
	e := &elections{}
	e.current.Store(newOffice())
	return e
}

func newOffice() *office {
	ctx, end := context.WithCancel(context.Background())
	return &office{ctx, end}
}

// follow ends one office after another until stopped is closed. changed returns
// a channel that is closed when another leader is known.
func (e *elections) follow(changed func() <-chan struct{}, stopped <-chan struct{}) {
	// The next election may follow at once: its channel is taken before the
	// office changes, so that no write is left in an office that nobody ends.
	for next := changed(); ; {
		select {
		case <-stopped:
			e.current.Load().end()
			return
		case <-next:
		}
		next = changed()
		last := e.current.Swap(newOffice())
		time.AfterFunc(afterElection, last.end)
	}
}

// impatient is a client's KV whose transactions end when they were lost with a
// leader, with the error that etcd has for that: whether they were done, nobody
// knows, so they are not tried again here. While the leadership is handed over
// they wait.
type impatient struct {
	clientv3.KV
	elections *elections
	gate      *gate
}

// Txn implements clientv3.KV.
func (kv impatient) Txn(ctx context.Context) clientv3.Txn { return &transaction{kv: kv, ctx: ctx} }

// transaction is made when it is committed: only then it has a context that ends.
type transaction struct {
	kv         impatient
	ctx        context.Context // clientv3.KV takes it before Commit needs it
	conditions []clientv3.Cmp
	then, or   []clientv3.Op
}

// If implements clientv3.Txn.
func (t *transaction) If(conditions ...clientv3.Cmp) clientv3.Txn {
	t.conditions = append(t.conditions, conditions...)
	return t
}

// Then implements clientv3.Txn.
func (t *transaction) Then(ops ...clientv3.Op) clientv3.Txn {
	t.then = append(t.then, ops...)
	return t
}

// Else implements clientv3.Txn.
func (t *transaction) Else(ops ...clientv3.Op) clientv3.Txn {
	t.or = append(t.or, ops...)
	return t
}

// Commit implements clientv3.Txn.
func (t *transaction) Commit() (*clientv3.TxnResponse, error) {
	if err := t.kv.gate.enter(t.ctx); err != nil {
		return nil, err
	}
	defer t.kv.gate.leave()
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	release := context.AfterFunc(t.kv.elections.current.Load().ctx, func() { cancel(errLost) })
	defer release()
	response, err := t.kv.KV.Txn(ctx).If(t.conditions...).Then(t.then...).Else(t.or...).Commit()
	if err != nil && errors.Is(context.Cause(ctx), errLost) {
		return nil, rpctypes.ErrTimeoutDueToLeaderFail
	}
	return response, err
}
