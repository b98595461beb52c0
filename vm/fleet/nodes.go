package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/node"
	"github.com/skiff-dev/skiff/vm/operation"
)

// nodes reaches the APIs of the cluster's nodes.
type nodes struct {
	pool     *node.Pool
	state    *store
	machines *machines
	active   *activeFaults
	log      *slog.Logger
}

func newNodes(c core) *nodes {
	return &nodes{
		pool:  node.NewPool(c.dial, node.ConfigFunc(c.credentials.ClientConfig(credentials.NodeCA, credentials.Host)), c.machines.issued.last),
		state: c.state, machines: c.machines, active: c.active, log: c.log,
	}
}

// client returns a client of a node's API.
func (s *nodes) client(n cluster.Node) *node.Client { return s.pool.Node(n.Name, n.Address.Addr()) }

// each calls do concurrently for every desired node whose machine runs, and
// waits for all calls.
func (s *nodes) each(ctx context.Context, do func(n cluster.Node)) {
	var all sync.WaitGroup
	for _, n := range s.state.desired() {
		if s.machines.running(ctx, n.Name) {
			all.Go(func() { do(n) })
		}
	}
	all.Wait()
}

// sync lets nodes write their caches to their disks. A failure costs nothing but
// the safety that it would have added.
func (s *nodes) sync(ctx context.Context, nodes []cluster.Node) {
	ctx, cancel := context.WithTimeout(ctx, syncLimit)
	defer cancel()
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			if _, err := s.client(n).Run(ctx, "sync"); err != nil {
				s.log.Warn("a node did not sync its disk before it shuts down", "node", n.Name, "error", err)
			}
		})
	}
	all.Wait()
}

// troubled names a program of the node that keeps ending.
func (s *nodes) troubled(ctx context.Context, name string) string {
	n, ok := s.state.find(name)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, pollAttempt)
	defer cancel()
	status, err := s.client(n).Status(ctx)
	if err != nil {
		return "the node does not answer: " + err.Error()
	}
	for _, program := range status.Programs {
		if program.LastExit != "" {
			return fmt.Sprintf("%s ended %d times, last: %s", program.Name, program.Restarts, program.LastExit)
		}
	}
	return ""
}

// RemoveNodes makes the named nodes no longer desired. The error is a failure that is
// caused by the user's input, or that of writing the state.
func (f *Fleet) RemoveNodes(names []string) error {
	return f.changeNodes(func(state cluster.State) (cluster.State, error) { return state.Remove(names) })
}

// ReplaceNodes makes new machines desired for the named nodes. Its errors are those of
// RemoveNodes.
func (f *Fleet) ReplaceNodes(names []string) error {
	return f.changeNodes(func(state cluster.State) (cluster.State, error) { return state.Replace(names) })
}

func (f *Fleet) changeNodes(change func(cluster.State) (cluster.State, error)) error {
	changed, err := change(f.state.current())
	if err != nil {
		return operation.Invalid(err, "\"skiff node list\" shows the nodes")
	}
	if err := f.state.change(func(state *cluster.State) { *state = changed }); err != nil {
		return err
	}
	return f.specChanged()
}
