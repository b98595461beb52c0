package client

import (
	"context"
	"net/http"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Dashboard returns a link to the cluster's dashboard in the browser; ErrNoDaemon if
// the cluster is not running.
func (c *Client) Dashboard(ctx context.Context, request daemonapi.DashboardRequest) (daemonapi.DashboardLink, error) {
	var link daemonapi.DashboardLink
	err := c.call(ctx, http.MethodPost, daemonapi.PathDashboard, request, &link)
	return link, err
}
