package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// drainLimit bounds how long a control plane takes to finish the requests of its
// clients. Its API server gives a request a minute.
const drainLimit = 100 * time.Second

// remove deletes a machine and the node's object.
func (e *executor) remove(ctx context.Context, name string) error {
	if err := e.machines.driver.Delete(ctx, name); err != nil {
		return err
	}
	// The API server that was asked last may have ended with the machine.
	return retry(ctx, e.limits.Join, func(ctx context.Context) (bool, error) {
		err := e.api.kube.Forget(ctx, name)
		return err == nil, err
	})
}

// leave removes a control plane from etcd, by way of one that stays. Its machine
// continues to run. It first lets the control plane finish the requests of its
// clients and send them elsewhere; if that fails it is removed all the same.
func (e *executor) leave(ctx context.Context, n cluster.Node) error {
	if e.has(cluster.ActionReplace, n.Name) {
		if err := e.othersServe(ctx, n); err != nil {
			return err
		}
	}
	if e.machines.running(ctx, n.Name) {
		e.sendClientsAway(ctx, n)
	}
	var failed error
	for _, by := range e.state.controlPlanes() {
		if !e.machines.running(ctx, by.Name) {
			continue
		}
		err := e.nodes.client(by).ControlPlane().Remove(ctx, controlapi.RemoveRequest{Name: n.Name, Address: n.Address.Addr().String()})
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("by way of %s: %w", by.Name, err))
	}
	return fmt.Errorf("remove it from etcd: %w", errors.Join(failed, ctx.Err()))
}
