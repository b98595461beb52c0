package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// continueLimit bounds how long the daemon takes to agree to read a body.
const continueLimit = 5 * time.Second

// OnControlPlane calls do with the control planes in turn until it succeeds.
func (c *Client) OnControlPlane(ctx context.Context, do func(node string, c controlapi.Client) error) error {
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, n := range status.Nodes {
		if n.Role != string(nodeconfig.RoleControlPlane) {
			continue
		}
		err := do(n.Name, c.Node(n.Name).ControlPlane())
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", n.Name, err))
	}
	return failed
}

// RestoreEtcd replaces the etcd database by a snapshot and calls event as Apply
// does. An invalid snapshot changes nothing. When ctx ends after the snapshot was
// sent, RestoreEtcd returns and the operation continues. ErrNoDaemon if the cluster
// is not running.
func (c *Client) RestoreEtcd(ctx context.Context, snapshot io.Reader, event func(daemonapi.Event)) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, daemonURL+daemonapi.PathRestore, snapshot)
	if err != nil {
		return err
	}
	request.Header.Set("Expect", "100-continue")
	response, err := c.send(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	return daemonapi.Follow(response.Body, event)
}
