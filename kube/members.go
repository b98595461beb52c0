package kube

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/kube/feed"
)

// memberLimit is the timeout for the /readyz request to one API server.
const memberLimit = 2 * time.Second

// members returns the control plane nodes. The leader is the one that holds a
// lease.
func (c *Client) members(ctx context.Context, leases []feed.Lease) []feed.Member {
	nodes, err := c.typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: names.TaintControlPlane, ResourceVersion: "0"})
	if err != nil {
		return nil
	}
	ports := c.serverPorts(ctx)
	found := make([]feed.Member, len(nodes.Items))
	var group sync.WaitGroup
	for i := range nodes.Items {
		found[i] = newMember(&nodes.Items[i], leases)
		if port := ports[found[i].Address]; port != 0 {
			group.Go(func() { found[i].API, found[i].Latency = c.queryMember(ctx, found[i].Name, port) })
		}
	}
	group.Wait()
	return found
}

func newMember(n *corev1.Node, leases []feed.Lease) feed.Member {
	m := feed.Member{Name: n.Name, Ready: "Unknown"}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && m.Address == "" {
			m.Address = a.Address
		}
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			m.Ready = string(condition.Status)
		}
	}
	for _, l := range leases {
		m.Leader = m.Leader || l.Holder == n.Name || strings.HasPrefix(l.Holder, n.Name+"_")
	}
	return m
}

// serverPorts returns the ports of the API servers by address, from the
// endpoints of the kubernetes service.
func (c *Client) serverPorts(ctx context.Context) map[string]int32 {
	slices, err := c.typed.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes", ResourceVersion: "0"})
	if err != nil {
		return nil
	}
	ports := map[string]int32{}
	for _, s := range slices.Items {
		if len(s.Ports) == 0 || s.Ports[0].Port == nil {
			continue
		}
		for _, e := range s.Endpoints {
			for _, address := range e.Addresses {
				ports[address] = *s.Ports[0].Port
			}
		}
	}
	return ports
}

// queryMember queries /readyz of the API server on a node, proxied by the API
// server of the client's connection. It returns the state and the latency.
func (c *Client) queryMember(ctx context.Context, node string, port int32) (state string, took time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, memberLimit)
	defer cancel()
	start := time.Now()
	_, err := c.raw.Get().AbsPath("/api/v1/nodes", fmt.Sprintf("https:%s:%d", node, port), "proxy/readyz").MaxRetries(0).DoRaw(ctx)
	took = time.Since(start)
	switch {
	case err == nil:
		return "ready", took
	case apierrors.IsInternalError(err):
		return "not ready", took
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return "", 0 // not permitted
	}
	return "no response", 0
}
