// Package policy enforces the cluster's NetworkPolicies for the pods of the node. The
// first packet of a connection that a policy may apply to goes through a netfilter
// queue to sigs.k8s.io/kube-network-policies, which decides. The rest of the
// connection stays in the kernel. Without a policy, no packet is queued.
//
// The library decides; the rules and the queue's reader are Skiff's own. The library's
// rules need nftables' queue expression, which some kernels lack, and its reader
// panics on a packet with a truncated header, which any pod can send. On a kernel
// without a queue, such connections are refused, and the user is told.
package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"

	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/nodeagent/client"
)

// queue is the number of the netfilter queue, and tableName the name of the
// nftables tables.
const (
	queue     = 100
	tableName = "skiff-policy"
)

// Policy configures an Engine.
type Policy struct {
	NodeName string
	// Informers provide pods, namespaces and policies. Their owner starts them after
	// Engine has returned.
	Informers informers.SharedInformerFactory
	// AlarmFile has a message for the user while policies cannot be enforced, and does
	// not exist otherwise.
	AlarmFile string
}

// Engine enforces policies. Policy.Engine returns one.
type Engine struct {
	engine    *networkpolicy.PolicyEngine
	changed   wakeup.Signal // sent when policies apply to other pods
	alarmFile string
}

// Engine requests the informers that it needs and returns the engine.
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
	return newEngine(networkpolicy.NewPolicyEngine(provider, []api.PolicyEvaluator{standard}), p.AlarmFile), nil
}

func newEngine(engine *networkpolicy.PolicyEngine, alarmFile string) *Engine {
	e := &Engine{engine: engine, changed: wakeup.New(), alarmFile: alarmFile}
	engine.SetDataplaneSyncCallbacks(e.changed.Send)
	return e
}

// Run enforces until ctx ends or it fails; it may be called again. While it is not
// running, connections that a policy may apply to are dropped: without a decision
// nothing is permitted.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, klog.Background().WithName("policy")))
	defer cancel()
	err := e.enforce(ctx)
	if ctx.Err() == nil {
		if err == nil {
			err = errors.New("the reader ended")
		}
		cause, _, _ := strings.Cut(err.Error(), "\n")
		err = errors.Join(err, e.tell("NetworkPolicies do not work: "+cause))
	}
	if err != nil {
		return fmt.Errorf("enforce network policies: %w", err)
	}
	return nil
}

// way is how a rule sends a packet to the queue.
type way struct {
	name   string
	decide expr.Any
}

func ways() []way {
	return []way{{"nft_queue", byExpression()}, {"xt_NFQUEUE", byTarget()}}
}

// enforce uses the first way that the kernel supports.
func (e *Engine) enforce(ctx context.Context) error {
	for _, w := range ways() {
		err := takes(w.decide)
		if err == nil {
			return e.ask(ctx, w.decide)
		}
		if !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("probe the kernel for %s: %w", w.name, err)
		}
	}
	return e.refuse(ctx)
}

// tell replaces the message to the user, or clears it if line is "".
func (e *Engine) tell(line string) error {
	if line != "" {
		return client.WriteFile(e.alarmFile, []byte(line+"\n"), 0o600)
	}
	if err := os.Remove(e.alarmFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear the alarm: %w", err)
	}
	return nil
}
