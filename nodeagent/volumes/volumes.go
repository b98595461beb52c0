// Package volumes creates the directory of each local volume on this node before a
// pod uses it. It removes the directory only when the cluster deletes a volume whose
// reclaim policy is Delete.
package volumes

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	storagehelpers "k8s.io/component-helpers/storage/volume"

	"github.com/skiff-dev/skiff/internal/names"
)

// Volumes are one node's local volumes.
type Volumes struct {
	NodeName string
	API      kubernetes.Interface
	// Dir has one directory for each volume, named like its PersistentVolume.
	Dir string
}

// Run manages the volumes until ctx ends.
func (v Volumes) Run(ctx context.Context) error {
	if err := os.MkdirAll(v.Dir, 0o755); err != nil {
		return fmt.Errorf("create the directory of local volumes: %w", err)
	}
	root, err := os.OpenRoot(v.Dir)
	if err != nil {
		return fmt.Errorf("open the directory of local volumes: %w", err)
	}
	defer root.Close()

	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, time.Minute))
	defer queue.ShutDown()
	factory := informers.NewSharedInformerFactory(v.API, 0)
	informer := factory.Core().V1().PersistentVolumes()
	enqueue := func(object any) {
		if volume, ok := object.(*corev1.PersistentVolume); ok && v.mine(volume) {
			queue.Add(volume.Name)
		}
	}
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, new any) { enqueue(new) },
	}); err != nil {
		return fmt.Errorf("watch volumes: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	context.AfterFunc(ctx, queue.ShutDown)
	for {
		name, end := queue.Get()
		if end {
			return nil
		}
		volume, err := informer.Lister().Get(name)
		if err == nil {
			err = v.reconcile(ctx, root, volume)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			slog.Error("cannot reconcile a local volume, retrying", "volume", name, "error", err)
			queue.AddRateLimited(name)
		} else {
			queue.Forget(name)
		}
		queue.Done(name)
	}
}

// mine reports whether the volume is a local volume of this node. Its path must be
// the one that follows from its name: a path in the object is not trusted.
func (v Volumes) mine(volume *corev1.PersistentVolume) bool {
	return volume.Annotations[storagehelpers.AnnDynamicallyProvisioned] == names.LocalProvisioner &&
		volume.Spec.Local != nil &&
		filepath.Base(volume.Name) == volume.Name && volume.Name != "." && volume.Name != ".." &&
		volume.Spec.Local.Path == filepath.Join(v.Dir, volume.Name) &&
		bound(volume.Spec.NodeAffinity, v.NodeName)
}

// bound reports whether the affinity names the node and no other.
func bound(affinity *corev1.VolumeNodeAffinity, node string) bool {
	if affinity == nil || affinity.Required == nil || len(affinity.Required.NodeSelectorTerms) != 1 {
		return false
	}
	return slices.ContainsFunc(affinity.Required.NodeSelectorTerms[0].MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
		return r.Key == corev1.LabelHostname && r.Operator == corev1.NodeSelectorOpIn && slices.Equal(r.Values, []string{node})
	})
}

func (v Volumes) reconcile(ctx context.Context, root *os.Root, volume *corev1.PersistentVolume) error {
	if !v.mine(volume) {
		return nil
	}
	if volume.DeletionTimestamp == nil {
		return makeDirectory(root, volume.Name)
	}
	// A volume that is still bound waits for its claim to be deleted.
	if volume.Status.Phase == corev1.VolumeBound || !slices.Contains(volume.Finalizers, names.LocalVolumeFinalizer) {
		return nil
	}
	if volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		slog.Info("removing a local volume", "volume", volume.Name)
		if err := root.RemoveAll(volume.Name); err != nil {
			return fmt.Errorf("remove the directory of volume %s: %w", volume.Name, err)
		}
	}
	released := volume.DeepCopy()
	released.Finalizers = slices.DeleteFunc(released.Finalizers, func(f string) bool { return f == names.LocalVolumeFinalizer })
	if _, err := v.API.CoreV1().PersistentVolumes().Update(ctx, released, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("release volume %s: %w", volume.Name, err)
	}
	return nil
}

// makeDirectory creates a directory that pods of any user can write, as other local
// provisioners do: it is not known which user a pod runs as.
func makeDirectory(root *os.Root, name string) error {
	err := root.Mkdir(name, 0o777)
	if os.IsExist(err) {
		info, err := root.Lstat(name)
		if err != nil {
			return fmt.Errorf("inspect the directory of volume %s: %w", name, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("the directory of volume %s is a %s", name, info.Mode().Type())
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("create the directory of volume %s: %w", name, err)
	}
	slog.Info("created a local volume", "volume", name)
	// Mkdir is subject to the process's umask.
	if err := root.Chmod(name, 0o777); err != nil {
		return fmt.Errorf("make the directory of volume %s writable for pods: %w", name, err)
	}
	return nil
}
