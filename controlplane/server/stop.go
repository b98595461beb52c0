package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// stopLimit bounds how long a control plane takes to stop. etcd's data is safe at
	// any time.
	stopLimit = 15 * time.Second
	// holdLimit is the limit when etcd is held for a restore: the other members stop
	// as well, so requests cannot finish, and the data is about to be replaced.
	holdLimit = 3 * time.Second
)

// errNoMajority is the error of a control plane that stops after the others: without
// them its requests in flight cannot finish.
var errNoMajority = errors.New("requests in flight are abandoned, because etcd has lost its majority")

// awaitEnd returns what serve sends to ended, or an error if that takes too long.
// ctx has ended.
func (r *run) awaitEnd(ctx context.Context, ended <-chan error) error {
	limit := stopLimit
	if errors.Is(context.Cause(ctx), errHeld) {
		limit = holdLimit
	}
	watching, stop := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer stop()
	lost := make(chan struct{})
	go func() {
		if r.awaitLoss(watching) == nil {
			close(lost)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-lost:
		return errors.Join(outcome(ctx), errNoMajority)
	case <-watching.Done():
		return errors.Join(outcome(ctx), fmt.Errorf("not stopped within %s", limit))
	}
}

// awaitLoss returns nil once etcd has lost its majority, or an error if ctx ends
// before that or etcd did not start.
func (r *run) awaitLoss(ctx context.Context) error {
	select {
	case <-r.etcdUp:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.member == nil {
		return r.err
	}
	return r.member.AwaitLoss(ctx)
}
