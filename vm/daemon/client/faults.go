package client

import (
	"context"
	"net/http"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Chaos begins a fault and returns it once it is in force. The daemon ends it when its
// time is over. ErrNoDaemon if the cluster is not running.
func (c *Client) Chaos(ctx context.Context, request daemonapi.FaultRequest) (daemonapi.Fault, error) {
	var fault daemonapi.Fault
	err := c.call(ctx, http.MethodPost, daemonapi.PathFaults, request, &fault)
	return fault, err
}

// Faults returns the active faults. ErrNoDaemon if the cluster is not running.
func (c *Client) Faults(ctx context.Context) ([]daemonapi.Fault, error) {
	var all []daemonapi.Fault
	err := c.call(ctx, http.MethodGet, daemonapi.PathFaults, nil, &all)
	return all, err
}

// ClearFaults ends the faults with the given IDs, or all if none is given, and returns those
// that have ended.
func (c *Client) ClearFaults(ctx context.Context, ids []string) ([]daemonapi.Fault, error) {
	var ended []daemonapi.Fault
	err := c.call(ctx, http.MethodPost, daemonapi.PathFaultsClear, daemonapi.FaultsClear{IDs: ids}, &ended)
	return ended, err
}
