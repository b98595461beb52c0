package e2eframework

import (
	"context"
	"fmt"
	"net"
	"time"

	"sigs.k8s.io/e2e-framework/support"

	"github.com/skiff-dev/skiff/skiff"
)

// AddNode adds a node. With the role of a group of nodes it belongs to that group; the name
// of the node is chosen by Skiff. args are further arguments of `skiff node add`.
func (p *Provider) AddNode(ctx context.Context, node *support.Node, args ...string) error {
	command := []string{"node", "add"}
	if node != nil && node.Role != "" {
		command = append(command, "--group="+node.Role)
	}
	return p.run(ctx, append(command, args...)...)
}

// RemoveNode drains a node and removes it.
func (p *Provider) RemoveNode(ctx context.Context, node *support.Node, args ...string) error {
	return p.run(ctx, append([]string{"node", "remove", node.Name}, args...)...)
}

// stopLimit is the longest that a fault may last.
const stopLimit = 24 * time.Hour

// StopNode takes the power from a node's machine, until StartNode or for a day.
func (p *Provider) StopNode(ctx context.Context, node *support.Node, _ ...string) error {
	if p.cluster == nil {
		return ErrNoCluster
	}
	id, err := p.cluster.Inject(ctx, skiff.Fault{Kind: skiff.FaultKill, Targets: []string{node.Name}, For: stopLimit})
	if err != nil {
		return err
	}
	if p.stopped == nil {
		p.stopped = map[string]string{}
	}
	p.stopped[node.Name] = id
	return nil
}

// StartNode starts the machine of a node that StopNode stopped.
func (p *Provider) StartNode(ctx context.Context, node *support.Node, _ ...string) error {
	if p.cluster == nil {
		return ErrNoCluster
	}
	id, ok := p.stopped[node.Name]
	if !ok {
		return fmt.Errorf("node %s was not stopped by StopNode", node.Name)
	}
	if err := p.cluster.ClearFaults(ctx, id); err != nil {
		return err
	}
	delete(p.stopped, node.Name)
	return nil
}

// ListNode returns the nodes.
func (p *Provider) ListNode(ctx context.Context, _ ...string) ([]support.Node, error) {
	if p.cluster == nil {
		return nil, ErrNoCluster
	}
	nodes, err := p.cluster.Nodes(ctx)
	return listed(p.cluster.Name, nodes), err
}

func listed(cluster string, nodes []skiff.Node) []support.Node {
	var all []support.Node
	for _, n := range nodes {
		all = append(all, support.Node{Name: n.Name, Role: n.Role, Cluster: cluster, State: n.Machine, IP: net.ParseIP(n.Address)})
	}
	return all
}

func (p *Provider) run(ctx context.Context, args ...string) error {
	if p.cluster == nil {
		return ErrNoCluster
	}
	_, err := p.cluster.Run(ctx, nil, args...)
	return err
}
