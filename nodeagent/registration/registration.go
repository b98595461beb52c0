// Package registration notices that the node's own Node object was deleted. The
// kubelet registers only once in the life of its process, so without this a node
// would be gone for good after "kubectl delete node".
package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// ErrDeleted is returned once the Node object was deleted and created again. The
// kubelet must be restarted, because it also creates other objects only once, such
// as the CSINode.
var ErrDeleted = errors.New("the Node object was deleted")

// retry is the pause between two attempts to create the object.
const retry = time.Second

// Registration watches over one node's object.
type Registration struct {
	Node nodeconfig.Node
	// Nodes has every node of the cluster. Its owner starts it.
	Nodes coreinformers.NodeInformer
	// Client returns a client with the kubelet's own identity.
	Client func() (kubernetes.Interface, error)
}

// Labels returns the labels that a node registers with.
func Labels(node nodeconfig.Node) map[string]string {
	labels := map[string]string{names.LabelRole: string(node.Role)}
	maps.Copy(labels, node.Kubernetes.Labels)
	return labels
}

// Run returns ErrDeleted once the object was deleted and exists again, or nil when
// ctx ends. The new object keeps the range of the node's pods: those that run
// keep their addresses.
func (r Registration) Run(ctx context.Context) error {
	deleted, replaced := make(chan *corev1.Node, 1), make(chan struct{}, 1)
	registration, err := r.Nodes.Informer().AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: func(object any) bool {
			node := nodeOf(object)
			return node != nil && node.Name == r.Node.Name
		},
		Handler: cache.ResourceEventHandlerFuncs{
			UpdateFunc: func(old, new any) {
				if nodeOf(old).UID != nodeOf(new).UID {
					offer(replaced, struct{}{})
				}
			},
			DeleteFunc: func(object any) { offer(deleted, nodeOf(object)) },
		},
	})
	if err != nil {
		return fmt.Errorf("watch the node's registration: %w", err)
	}
	defer func() { _ = r.Nodes.Informer().RemoveEventHandler(registration) }()
	select {
	case <-ctx.Done():
		return nil
	case <-replaced:
	case last := <-deleted:
		if err := r.create(ctx, object(r.Node, last)); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return ErrDeleted
}

// create creates the object, unless somebody else was faster. It returns nil if ctx
// ends first.
func (r Registration) create(ctx context.Context, node *corev1.Node) error {
	api, err := r.Client()
	if err != nil {
		return fmt.Errorf("register the node again: %w", err)
	}
	slog.Warn("the Node object was deleted: registering the node again", "node", node.Name)
	// The error can only be the end of ctx.
	_ = wait.PollUntilContextCancel(ctx, retry, true, func(ctx context.Context) (bool, error) {
		_, err := api.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if apierrors.IsForbidden(err) { // another node has the range by now
			node.Spec.PodCIDR, node.Spec.PodCIDRs = "", nil
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			slog.Warn("cannot register the node, retrying", "error", err)
			return false, nil
		}
		return true, nil
	})
	return nil
}

// object returns what replaces last: the labels, the taints that the node registers
// with, the range of its pods, and its size.
func object(node nodeconfig.Node, last *corev1.Node) *corev1.Node {
	taints := slices.DeleteFunc(slices.Clone(last.Spec.Taints), func(taint corev1.Taint) bool {
		return !slices.Contains(node.Kubernetes.Taints, taint.ToString())
	})
	if node.Kubernetes.Cloud {
		taints = append(taints, corev1.Taint{Key: names.TaintUninitialized, Value: "true", Effect: corev1.TaintEffectNoSchedule})
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: Labels(node)},
		Spec: corev1.NodeSpec{
			PodCIDR:  last.Spec.PodCIDR,
			PodCIDRs: last.Spec.PodCIDRs,
			Taints:   taints,
		},
		// The kubelet admits the pods that it finds at its start against these figures,
		// and would end them all if the node had room for none.
		Status: corev1.NodeStatus{Capacity: last.Status.Capacity, Allocatable: last.Status.Allocatable},
	}
}

// nodeOf returns the node in an event, nil if there is none.
func nodeOf(object any) *corev1.Node {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	node, _ := object.(*corev1.Node)
	return node
}

func offer[T any](channel chan<- T, value T) {
	select {
	case channel <- value:
	default:
	}
}
