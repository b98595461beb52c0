package skiff

import (
	"context"
	"encoding/json"
	"fmt"
)

// Node is a node of a cluster.
type Node struct {
	Name string `json:"name"`
	// Role is control-plane or worker.
	Role string `json:"role"`
	// Machine is the state of its machine, such as running or stopped.
	Machine string `json:"machine"`
	// Address in the network of the nodes.
	Address string `json:"address"`
	// Zone of the node, such as local-a.
	Zone string `json:"zone"`
	// Ready is the status of the node's condition of this name: True, False or Unknown.
	Ready string `json:"ready"`
}

// Nodes returns the nodes of the cluster.
func (c *Cluster) Nodes(ctx context.Context) ([]Node, error) {
	content, err := c.program.output(ctx, "status", c.Name, "--output=json")
	if err != nil && len(content) == 0 {
		return nil, err // a degraded cluster has a status, too
	}
	var status struct{ Nodes []Node }
	if err := json.Unmarshal(content, &status); err != nil {
		return nil, fmt.Errorf("read the status of %s: %w", c.Name, err)
	}
	return status.Nodes, nil
}
