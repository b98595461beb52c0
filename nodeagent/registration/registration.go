// Package registration notices that the node's own Node object was deleted. The
// kubelet registers only once in the life of its process, so without this a node
// would be gone for good after "kubectl delete node". Upstream's service proxy ends the
// process as soon as it notices the same (since 1.37), so what the object needs is also in
// a file, and the next process begins with it.
package registration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// ErrDeleted is returned once the Node object was deleted and created again. The
// kubelet must be restarted, because it also creates other objects only once, such
// as the CSINode.
var ErrDeleted = errors.New("the Node object was deleted")

const (
	// retry is the pause between two attempts to create the object.
	retry = time.Second
	// restoreLimit bounds how long Restore waits for an API server that does not answer.
	restoreLimit = 10 * time.Second
)

// Registration watches over one node's object.
type Registration struct {
	Node nodeconfig.Node
	// Nodes has every node of the cluster. Its owner starts it.
	Nodes coreinformers.NodeInformer
	// File keeps what replaces the object if it is deleted. It lives as long as the node's
	// pods do.
	File string
	// Client returns a client with the kubelet's own identity.
	Client func() (kubernetes.Interface, error)
}

// Labels returns the labels that a node registers with.
func Labels(node nodeconfig.Node) map[string]string {
	labels := map[string]string{names.LabelRole: string(node.Role)}
	maps.Copy(labels, node.Kubernetes.Labels)
	return labels
}

// Restore registers the node again if its object was deleted and the process ended before Run
// had done so. It is called before the kubelet starts. If the API server does not answer, it
// does nothing.
func (r Registration) Restore(ctx context.Context) error {
	content, err := os.ReadFile(r.File)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read how the node was registered: %w", err)
	}
	var node corev1.Node
	if err := json.Unmarshal(content, &node); err != nil {
		return fmt.Errorf("read how the node was registered: %w", err)
	}
	api, err := r.Client()
	if err != nil {
		return fmt.Errorf("look for the node's registration: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, restoreLimit)
	defer cancel()
	if _, err := api.CoreV1().Nodes().Get(ctx, r.Node.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return nil
	}
	return r.create(ctx, &node)
}

// keep writes what replaces a node if it is deleted to the file, unless it is last, which the
// file has. It returns what the file has then.
func (r Registration) keep(node, last *corev1.Node) *corev1.Node {
	next := object(r.Node, node)
	if len(next.Spec.PodCIDRs) == 0 || last != nil && equality.Semantic.DeepEqual(next, last) {
		return last
	}
	content, err := json.Marshal(next)
	if err == nil {
		err = client.WriteFile(r.File, content, 0o600)
	}
	if err != nil {
		slog.Warn("cannot keep how the node is registered", "error", err)
		return last
	}
	return next
}

// Run returns ErrDeleted once the object was deleted and exists again, or nil when
// ctx ends. The new object keeps the range of the node's pods: those that run
// keep their addresses.
func (r Registration) Run(ctx context.Context) error {
	deleted, replaced := make(chan *corev1.Node, 1), make(chan struct{}, 1)
	var kept *corev1.Node // used by the handler only
	registration, err := r.Nodes.Informer().AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: func(object any) bool {
			node := nodeOf(object)
			return node != nil && node.Name == r.Node.Name
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: func(added any) { kept = r.keep(nodeOf(added), kept) },
			UpdateFunc: func(old, new any) {
				if nodeOf(old).UID != nodeOf(new).UID {
					offer(replaced, struct{}{})
				}
				kept = r.keep(nodeOf(new), kept)
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
