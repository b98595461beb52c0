package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
)

// How the API load balancer finds control planes that serve.
const (
	followPeriod = 2 * time.Second
	probeLimit   = 2 * time.Second
	maxLine      = 4 << 20 // bytes of one line of an answer
)

// controlPlanes that are wanted.
func (c *running) controlPlanes() []cluster.Node {
	return slices.DeleteFunc(cluster.Nodes(c.spec()), func(n cluster.Node) bool { return n.Role != nodeconfig.RoleControlPlane })
}

func endpoint(n cluster.Node) string {
	return netip.AddrPortFrom(n.Address.Addr(), nodeconfig.PortKubernetes).String()
}

func endpoints(nodes []cluster.Node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, endpoint(n))
	}
	return all
}

// pointLoadBalancer leads the API load balancer to all control planes that are wanted. Those that
// are to leave part from their clients themselves.
func (c *running) pointLoadBalancer() {
	c.loadBalancer.SetBackends(endpoints(c.controlPlanes()), endpoints(c.leaving())...)
}

// followControlPlanes keeps the API load balancer on those of several control planes
// that serve: one that hangs still accepts connections.
func (c *running) followControlPlanes(ctx context.Context) error {
	probe, err := c.apiClient()
	if err != nil {
		return err
	}
	defer probe.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followPeriod):
		}
		planes := c.controlPlanes()
		if len(planes) < 2 || c.paused(ctx) {
			continue
		}
		if serving := serving(ctx, probe, planes); len(serving) > 0 && !c.paused(ctx) {
			c.loadBalancer.SetBackends(serving, endpoints(c.leaving())...)
		}
	}
}

// serving are the endpoints of those control planes that say they are ready.
func serving(ctx context.Context, probe *http.Client, planes []cluster.Node) []string {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	ready := make([]bool, len(planes))
	var all sync.WaitGroup
	for i, n := range planes {
		all.Go(func() { ready[i] = serves(ctx, probe, n) == nil })
	}
	all.Wait()
	var found []string
	for i, n := range planes {
		if ready[i] {
			found = append(found, endpoint(n))
		}
	}
	return found
}

// serves returns nil if the API server on n itself is ready.
func serves(ctx context.Context, probe *http.Client, n cluster.Node) error {
	return fetch(ctx, probe, n, "/readyz", nil)
}

// fetch asks the API server on n itself and calls line, if it is set, with each
// line of the answer.
func fetch(ctx context.Context, probe *http.Client, n cluster.Node, path string, line func(string)) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+endpoint(n)+path, nil)
	if err != nil {
		return err
	}
	response, err := probe.Do(request)
	if err != nil {
		return fmt.Errorf("ask the API server: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxLine))
		return fmt.Errorf("its API server answers %s to %s", response.Status, path)
	}
	if line == nil {
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line(lines.Text())
	}
	return lines.Err()
}

// joinControlPlane waits until a control plane among several has joined etcd
// and serves the API itself.
func (a *apply) joinControlPlane(ctx context.Context, n cluster.Node) error {
	if n.Role != nodeconfig.RoleControlPlane || len(a.controlPlanes()) < 2 {
		return nil
	}
	probe, err := a.apiClient()
	if err != nil {
		return err
	}
	defer probe.CloseIdleConnections()
	return a.wait(ctx, n, a.limits.ControlPlane, func(ctx context.Context) error { return serves(ctx, probe, n) })
}

// bootLeaving starts control planes that are to leave and have a vote until
// they have: those that stay may not be a majority without them.
func (a *apply) bootLeaving(ctx context.Context, n cluster.Node) error {
	if !a.needs(n.Name, cluster.ActionStart) {
		return nil
	}
	if _, err := a.boot(ctx, n, func() {}); err != nil {
		return a.fail(ctx, n.Name, daemonapi.PhaseBoot, err)
	}
	return nil
}

// removeControlPlanes removes those that are not wanted one after another, the
// last first, so that etcd always has a majority.
func (a *apply) removeControlPlanes(ctx context.Context) error {
	for _, step := range slices.Backward(a.steps) {
		if step.Action == cluster.ActionDelete && cluster.IsControlPlane(step.Node) {
			if err := a.remove(ctx, step.Node); err != nil {
				return err
			}
		}
	}
	return nil
}

// leave takes a control plane out of the cluster; its machine runs on. It may be
// done again after it was done.
func (a *apply) leave(ctx context.Context, name string) error {
	all := a.leaving()
	i := slices.IndexFunc(all, func(n cluster.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	a.part(ctx, all[i])
	return a.leaveEtcd(ctx, all[i])
}

// partLimit is how long a control plane may take to part from its clients. Its API
// server gives a request a minute.
const partLimit = 100 * time.Second

// part has a control plane end what it was asked and send its clients elsewhere. One
// that does not is taken out all the same: that was asked for.
func (a *apply) part(ctx context.Context, n cluster.Node) {
	if state, err := a.machines.Driver.State(ctx, n.Name); err != nil || state != machine.StateRunning {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	if _, err := a.node(n).Run(ctx, controlPlaneProgram, "drain"); err != nil {
		a.log.Warn("control plane not drained", "node", n.Name, "error", err)
	}
}

// leaveEtcd takes a control plane's member out of etcd, by way of one that stays.
func (a *apply) leaveEtcd(ctx context.Context, leaving cluster.Node) error {
	name, address := leaving.Name, leaving.Address.Addr().String()
	var failed error
	for _, n := range a.controlPlanes() {
		if state, err := a.machines.Driver.State(ctx, n.Name); err != nil || state != machine.StateRunning {
			continue
		}
		_, err := a.node(n).Run(ctx, controlPlaneProgram, "etcd", "remove", name, address)
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("by way of %s: %w", n.Name, err))
	}
	return fmt.Errorf("take it out of etcd: %w", errors.Join(failed, ctx.Err()))
}

// controlPlaneProgram is the control plane in a node, which is also the tool
// for its etcd.
const controlPlaneProgram = "/usr/bin/skiff-controlplane"
