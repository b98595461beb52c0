// Package policy holds every pod of the node to the cluster's NetworkPolicies.
// The first packet of a connection that a policy may concern goes through a
// netfilter queue to sigs.k8s.io/kube-network-policies, which decides; the rest
// of the connection stays in the kernel. Without a policy no packet is queued.
package policy

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/dataplane"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"
)

// queue is the number of the netfilter queue, and tableName the nftables table.
const (
	queue     = 100
	tableName = "skiff-policy"
)

// Policy is what the engine is made from.
type Policy struct {
	NodeName string
	// Informers tell of pods, namespaces and policies. Their owner starts them
	// after Engine returned.
	Informers informers.SharedInformerFactory
}

// Engine enforces. It is made by Policy.Engine.
type Engine struct {
	engine *networkpolicy.PolicyEngine
}

// Engine asks the informers for what it needs and returns the engine.
func (p Policy) Engine() (*Engine, error) {
	pods := p.Informers.Core().V1().Pods()
	namespaces := p.Informers.Core().V1().Namespaces()
	policies := p.Informers.Networking().V1().NetworkPolicies()
	resolver, err := podinfo.NewInformerResolver(pods.Informer())
	if err != nil {
		return nil, fmt.Errorf("index pods by address: %w", err)
	}
	provider := podinfo.NewInformerProvider(pods, namespaces, nil, []podinfo.IPResolver{resolver})
	standard := networkpolicy.NewStandardNetworkPolicy(p.NodeName, namespaces, pods, policies)
	return &Engine{networkpolicy.NewPolicyEngine(provider, []api.PolicyEvaluator{standard})}, nil
}

// Run enforces until ctx ends or it fails; it may be run again. While it does
// not run, connections that a policy may concern wait and then fail: a policy
// that cannot be asked is not taken for permission.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, klog.Background().WithName("policy")))
	defer cancel()
	controller, err := dataplane.NewController(e.engine, dataplane.Config{QueueID: queue, NFTableName: tableName})
	if err != nil {
		return fmt.Errorf("prepare network policies: %w", err)
	}
	if err := controller.Run(ctx); err != nil {
		return fmt.Errorf("enforce network policies: %w", err)
	}
	if ctx.Err() == nil {
		return errors.New("enforcing network policies ended by itself")
	}
	return nil
}
