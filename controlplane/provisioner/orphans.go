package provisioner

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/controlplane/informing"
	"github.com/skiff-dev/skiff/internal/names"
)

// Orphaned reports whether a volume waits for the agent of a node that no longer
// exists, or never had an agent because it is simulated.
func Orphaned(v *corev1.PersistentVolume, exists func(node string) bool) bool {
	if v.DeletionTimestamp == nil || !slices.Contains(v.Finalizers, names.LocalVolumeFinalizer) {
		return false
	}
	node := NodeOf(v)
	return node == "" || !exists(node)
}

// releaseOrphans releases deleted volumes of nodes that no longer exist, until ctx
// ends.
func releaseOrphans(ctx context.Context, client kubernetes.Interface, log *slog.Logger) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	volumes, nodes := factory.Core().V1().PersistentVolumes(), factory.Core().V1().Nodes()
	queue := newQueue[string]()
	defer queue.ShutDown()
	enqueue := func(object any) {
		if v, ok := object.(*corev1.PersistentVolume); ok && v.DeletionTimestamp != nil {
			queue.Add(v.Name)
		}
	}
	if _, err := volumes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) },
	}); err != nil {
		return fmt.Errorf("watch volumes: %w", err)
	}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: func(any) {
			for _, v := range volumes.Informer().GetStore().List() {
				enqueue(v)
			}
		},
	}); err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	informing.Start(ctx, factory)
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())
	queue.run(ctx, func(ctx context.Context, name string) error { return release(ctx, client, name) }, func(name string, err error) {
		log.Warn("cannot release a volume, trying again later", "volume", name, "error", err)
	})
	return nil
}

// release removes the finalizer of an orphaned volume. It reads the node from the API:
// a cache may not contain a new node yet, and the volume's directory would stay there
// for good.
func release(ctx context.Context, client kubernetes.Interface, name string) error {
	v, err := client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read volume: %w", err)
	}
	var lookup error
	orphaned := Orphaned(v, func(node string) bool {
		found, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			lookup = fmt.Errorf("read node %s: %w", node, err)
		}
		return !apierrors.IsNotFound(err) && !names.Simulated(found.Labels)
	})
	if lookup != nil || !orphaned {
		return lookup
	}
	rest := slices.DeleteFunc(slices.Clone(v.Finalizers), func(f string) bool { return f == names.LocalVolumeFinalizer })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": v.ResourceVersion, "finalizers": rest}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	_, err = client.CoreV1().PersistentVolumes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the finalizer: %w", err)
	}
	return nil
}
