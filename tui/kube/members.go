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
	"github.com/skiff-dev/skiff/tui/feed"
)

// memberLimit is how long one API server may take to say how it is.
const memberLimit = 2 * time.Second

// members are the nodes with the control plane's role. The leader is the one
// that holds a lease.
func (c *Client) members(ctx context.Context, leases []feed.Lease) []feed.Member {
	nodes, err := c.typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: names.TaintControlPlane, ResourceVersion: "0"})
	if err != nil {
		return nil
	}
	ports := c.serverPorts(ctx)
	found := make([]feed.Member, len(nodes.Items))
	var asked sync.WaitGroup
	for i := range nodes.Items {
		found[i] = memberOf(&nodes.Items[i], leases)
		if port := ports[found[i].Address]; port != 0 {
			asked.Go(func() { found[i].API, found[i].Latency = c.askMember(ctx, found[i].Name, port) })
		}
	}
	asked.Wait()
	return found
}

func memberOf(n *corev1.Node, leases []feed.Lease) feed.Member {
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

// serverPorts are the ports of the API servers that take requests, by address:
// the endpoints of the service that leads to them.
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

// askMember asks the API server on one node, by way of the one that we speak
// to, whether it is ready, and how long that took.
func (c *Client) askMember(ctx context.Context, node string, port int32) (state string, took time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, memberLimit)
	defer cancel()
	begun := time.Now()
	_, err := c.raw.Get().AbsPath("/api/v1/nodes", fmt.Sprintf("https:%s:%d", node, port), "proxy/readyz").MaxRetries(0).DoRaw(ctx)
	took = time.Since(begun)
	switch {
	case err == nil:
		return "ready", took
	case apierrors.IsInternalError(err):
		return "not ready", took
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return "", 0 // nobody may ask it
	}
	return "no response", 0
}
