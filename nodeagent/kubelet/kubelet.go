// Package kubelet runs the upstream kubelet so that the node joins its cluster
// by itself, with nothing on disk except the kubelet's own files.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kubelet/app"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Kubelet is one node's kubelet. A process can run it once: it registers
// metrics and handlers that are global.
type Kubelet struct {
	Node nodeconfig.Node
	// Fields are the user's fields of the kubelet's configuration.
	Fields  map[string]any
	Machine Machine
	Paths   Paths
	// Starting is called when a pod is about to start. It must return at once.
	Starting func()
	// Network waits until it is known whether the container runtime gets a configuration of
	// the pod network, and returns that. It returns false when the context ends.
	Network func(context.Context) bool
	// Ready is closed when the API server is ready.
	Ready <-chan struct{}
}

// Run waits for the API server, then runs the kubelet until ctx ends or it fails.
// Upstream exits the process on some fatal errors.
func (k Kubelet) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, klog.Background().WithName("kubelet"))
	if err := k.prepare(); err != nil {
		return err
	}
	server, err := k.server()
	if err != nil {
		return err
	}
	if err := removeOtherPolicies(k.Paths.Root, &server.KubeletConfiguration); err != nil {
		return err
	}
	server.OOMScoreAdj = allowedScore(ownScore, server.OOMScoreAdj)
	select {
	case <-ctx.Done():
		return nil
	case <-k.Ready:
	}
	if awaitSocket(ctx, k.Paths.ContainerdSocket) != nil {
		return nil // ctx ended
	}
	dependencies, err := app.UnsecuredDependencies(ctx, server, utilfeature.DefaultFeatureGate)
	if err != nil {
		return fmt.Errorf("prepare the kubelet: %w", err)
	}
	if !k.Node.Kubernetes.PlainKubelet {
		awaitMounts(dependencies, k.Paths.Root, k.Starting)
		awaitNetwork(dependencies, func(ctx context.Context) bool { return k.isReady(ctx) && k.Network(ctx) })
	}
	if err := app.Run(ctx, server, dependencies, utilfeature.DefaultFeatureGate); err != nil {
		return fmt.Errorf("run the kubelet: %w", err)
	}
	if ctx.Err() == nil {
		return errors.New("the kubelet exited")
	}
	return nil
}

// socketPoll is how often to try the container runtime's socket.
const socketPoll = 20 * time.Millisecond

// awaitSocket returns when a program listens on a unix socket, or with the context's
// error. Upstream's kubelet exits if the container runtime is not yet running, as
// after a restart of the node, and a second start would take as long as the first.
func awaitSocket(ctx context.Context, path string) error {
	return wait.PollUntilContextCancel(ctx, socketPoll, true, func(ctx context.Context) (bool, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// prepare writes the files that the kubelet reads, and removes those that no kubelet
// reads any more.
func (k Kubelet) prepare() error {
	if err := os.MkdirAll(k.Paths.Root, 0o750); err != nil {
		return fmt.Errorf("create the kubelet's directory: %w", err)
	}
	if err := k.Paths.Identity().WriteKubeconfig(k.Paths.kubeconfig()); err != nil {
		return err
	}
	return k.removeOldCertificates()
}
