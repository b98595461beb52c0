package etcd

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// afterElection is how long a write that was in flight when the leader changed may
// still take. The new leader commits what the old one had replicated to a majority
// together with its first entry; everything else is lost.
const afterElection = 500 * time.Millisecond

// errLost ends writes that were probably lost with a leader.
var errLost = errors.New("the leader has changed")

// elections ends writes that began under an earlier leader. Etcd itself lets them
// wait for seven seconds.
type elections struct {
	current atomic.Pointer[term]
}

// term is the time of one leader. Its context ends soon after the next one is
// elected.
type term struct {
	ctx context.Context
	end context.CancelFunc
}

func newElections() *elections {
	e := &elections{}
	e.current.Store(newTerm())
	return e
}

func newTerm() *term {
	ctx, end := context.WithCancel(context.Background())
	return &term{ctx, end}
}

// follow ends one term after another until stopped is closed. changed returns a
// channel that is closed when another leader is known.
func (e *elections) follow(changed func() <-chan struct{}, stopped <-chan struct{}) {
	// Another election may follow at once: get its channel before the term changes,
	// so that no write remains in a term that nobody ends.
	for next := changed(); ; {
		select {
		case <-stopped:
			e.current.Load().end()
			return
		case <-next:
		}
		next = changed()
		last := e.current.Swap(newTerm())
		time.AfterFunc(afterElection, last.end)
	}
}

// impatient is a client's KV whose transactions fail soon after they were lost with
// a leader, with etcd's error for that. They may have been committed, so they are
// not retried here. During a handover of leadership they wait.
type impatient struct {
	clientv3.KV
	elections *elections
	gate      *gate
}

// Txn implements clientv3.KV.
func (kv impatient) Txn(ctx context.Context) clientv3.Txn { return &transaction{kv: kv, ctx: ctx} }

// transaction collects its parts until Commit, which adds a context that ends with
// the leader's term.
type transaction struct {
	kv         impatient
	ctx        context.Context // clientv3.KV.Txn takes it, Commit does not
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
