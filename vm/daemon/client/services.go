package client

import (
	"context"
	"net/http"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Services returns what this host can reach of the cluster; ErrNoDaemon if it is
// not running.
func (c *Client) Services(ctx context.Context) (daemonapi.Services, error) {
	var all daemonapi.Services
	err := c.call(ctx, http.MethodGet, daemonapi.PathServices, nil, &all)
	return all, err
}

// ChangePorts opens and closes ports of this host and returns what it then
// reaches; ErrNoDaemon if the cluster is not running. A failure changes nothing.
func (c *Client) ChangePorts(ctx context.Context, change daemonapi.PortChange) (daemonapi.Services, error) {
	var all daemonapi.Services
	err := c.call(ctx, http.MethodPost, daemonapi.PathPorts, change, &all)
	return all, err
}
