package fleet

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// serveAPI waits for the Kubernetes API, in the first place that of a node, and shows what it
// waits for.
func (e *executor) serveAPI(ctx context.Context, first cluster.Node) error {
	// Control planes may be held although the state of the restore is lost.
	if _, err := e.endRestore(ctx); err != nil {
		return err
	}
	shown := phases[cluster.ActionServe].message
	if err := e.poll(ctx, first, e.limits.ControlPlane, func(ctx context.Context) error {
		err := e.api.kube.Ready(ctx)
		if message := waitsFor(err); err != nil && message != shown {
			e.op.Begin("", daemonapi.PhaseControlPlane, message)
			shown = message
		}
		return err
	}); err != nil {
		return err
	}
	e.standby.Wake()
	// From now on every control plane joins this cluster instead of forming another.
	return e.state.change(func(state *cluster.State) { state.Formed = true })
}

// failedCheck matches a check that fails in the answer of /readyz.
var failedCheck = regexp.MustCompile(`\[-\](\S+) failed`)

// waitsFor returns what an API server that is not ready is waiting for, in one line
// for users.
func waitsFor(err error) string {
	if err == nil {
		return ""
	}
	var failed []string
	for _, match := range failedCheck.FindAllStringSubmatch(err.Error(), -1) {
		failed = append(failed, match[1])
	}
	switch {
	case len(failed) > 2:
		return fmt.Sprintf("waiting for the API server: %s and other checks", failed[0])
	case len(failed) > 0:
		return "waiting for the API server: " + strings.Join(failed, ", ")
	case errors.Is(err, context.DeadlineExceeded):
		return "waiting for the API server to answer"
	}
	return "waiting for the API server to listen"
}

// join waits until the kubelet of the node's current boot has registered: what an
// earlier boot reported does not count. A control plane among several must also
// have joined etcd and serve the API itself.
func (e *executor) join(ctx context.Context, n cluster.Node) error {
	if n.Role == nodeconfig.RoleControlPlane && len(e.state.controlPlanes()) > 1 {
		probe := e.api.probe()
		defer probe.CloseIdleConnections()
		if err := e.poll(ctx, n, e.limits.ControlPlane, func(ctx context.Context) error {
			return fetch(ctx, probe, n, "/readyz")
		}); err != nil {
			return err
		}
	}
	if err := e.sendRuntimes(ctx, n); err != nil {
		return err
	}
	if err := e.copyImages(ctx, n); err != nil {
		return err
	}
	boot := ""
	return e.poll(ctx, n, e.limits.Join, func(ctx context.Context) error {
		if boot == "" {
			status, err := e.nodes.client(n).Status(ctx)
			if err != nil {
				return err
			}
			boot = status.BootID
		}
		nodes, err := e.api.kube.Nodes(ctx)
		if err != nil {
			return err
		}
		node, registered := nodes[n.Name]
		switch {
		case !registered:
			return errors.New("the node has not registered")
		case boot != "" && node.BootID != boot:
			return errors.New("the node has not reported since it booted")
		}
		return nil
	})
}

func (e *executor) awaitReady(ctx context.Context, n cluster.Node) error {
	e.mu.Lock()
	unready := e.unready[n.Name]
	e.mu.Unlock()
	if unready {
		return nil
	}
	return e.poll(ctx, n, e.limits.Ready, func(ctx context.Context) error { return e.ready(ctx, n.Name) })
}

// ready returns nil if Kubernetes reports the node as Ready.
func (c *core) ready(ctx context.Context, name string) error {
	nodes, err := c.api.kube.Nodes(ctx)
	if err != nil {
		return err
	}
	if node := nodes[name]; node.Ready != "True" {
		return fmt.Errorf("the node is not Ready: %s", node.Reason)
	}
	return nil
}
