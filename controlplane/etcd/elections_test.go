package etcd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// slowKV commits after some time, if its context lets it.
type slowKV struct {
	clientv3.KV
	takes time.Duration
}

type slowTxn struct {
	clientv3.Txn
	ctx   context.Context
	takes time.Duration
}

func (kv slowKV) Txn(ctx context.Context) clientv3.Txn { return slowTxn{ctx: ctx, takes: kv.takes} }

func (t slowTxn) If(...clientv3.Cmp) clientv3.Txn  { return t }
func (t slowTxn) Then(...clientv3.Op) clientv3.Txn { return t }
func (t slowTxn) Else(...clientv3.Op) clientv3.Txn { return t }

func (t slowTxn) Commit() (*clientv3.TxnResponse, error) {
	select {
	case <-time.After(t.takes):
		return &clientv3.TxnResponse{Succeeded: true}, nil
	case <-t.ctx.Done():
		return nil, t.ctx.Err()
	}
}

func TestAWriteLostWithItsLeaderEndsSoon(t *testing.T) {
	const soon = time.Second
	for name, tt := range map[string]struct {
		takes, election time.Duration // the election's time; 0 for none
		want            time.Duration
		err             error
	}{
		"no election":                     {7 * time.Second, 0, 7 * time.Second, nil},
		"lost":                            {7 * time.Second, soon, soon + afterElection, rpctypes.ErrTimeoutDueToLeaderFail},
		"done by the new leader":          {soon + afterElection/2, soon, soon + afterElection/2, nil},
		"done before, the election later": {soon / 2, soon, soon / 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, stopped := newElections(), make(chan struct{})
				changes := []chan struct{}{make(chan struct{}), make(chan struct{})}
				next := 0
				go e.follow(func() <-chan struct{} { next++; return changes[next-1] }, stopped)
				defer close(stopped)
				if tt.election > 0 {
					time.AfterFunc(tt.election, func() { close(changes[0]) })
				}
				began := time.Now()
				_, err := impatient{slowKV{takes: tt.takes}, e, &gate{}}.Txn(t.Context()).If().Then().Commit()
				if took := time.Since(began); took != tt.want || !errors.Is(err, tt.err) {
					t.Errorf("%v after %s, not %v after %s", err, took, tt.err, tt.want)
				}
				// The next leader's office is another.
				if _, err := (impatient{slowKV{takes: time.Second}, e, &gate{}}).Txn(t.Context()).Commit(); err != nil {
					t.Errorf("a later write: %v", err)
				}
			})
		})
	}
}

func TestAWritesOwnEndIsItsOwn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := impatient{slowKV{takes: time.Minute}, newElections(), &gate{}}.Txn(ctx).Commit()
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
