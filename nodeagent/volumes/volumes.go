// Package volumes makes the folder of each local volume that the cluster gave
// to this node before a pod uses it, and removes it when, and only when, the
// cluster deleted a volume whose content is to go with it.
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

	"github.com/skiff-dev/skiff/internal/names"
)

const provisionedBy = "pv.kubernetes.io/provisioned-by"

// Volumes are one node's local volumes.
type Volumes struct {
	NodeName string
	API      kubernetes.Interface
	// Dir holds one folder for each volume, named as its PersistentVolume.
	Dir string
}

// Run looks after the volumes until ctx ends.
func (v Volumes) Run(ctx context.Context) error {
	if err := os.MkdirAll(v.Dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of local volumes: %w", err)
	}
	root, err := os.OpenRoot(v.Dir)
	if err != nil {
		return fmt.Errorf("open the folder of local volumes: %w", err)
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
			slog.Error("a local volume is not as it should be", "volume", name, "error", err)
			queue.AddRateLimited(name)
		} else {
			queue.Forget(name)
		}
		queue.Done(name)
	}
}

// mine reports whether the volume is a local one of this node in its own folder.
// The folder's path is not taken from the volume: it must be the one that
// follows from its name.
func (v Volumes) mine(volume *corev1.PersistentVolume) bool {
	return volume.Annotations[provisionedBy] == names.LocalProvisioner &&
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
		return makeFolder(root, volume.Name)
	}
	// A volume that is deleted while a claim holds it waits for the claim.
	if volume.Status.Phase == corev1.VolumeBound || !slices.Contains(volume.Finalizers, names.LocalVolumeFinalizer) {
		return nil
	}
	if volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		slog.Info("removing a local volume", "volume", volume.Name)
		if err := root.RemoveAll(volume.Name); err != nil {
			return fmt.Errorf("remove the folder of volume %s: %w", volume.Name, err)
		}
	}
	released := volume.DeepCopy()
	released.Finalizers = slices.DeleteFunc(released.Finalizers, func(f string) bool { return f == names.LocalVolumeFinalizer })
	if _, err := v.API.CoreV1().PersistentVolumes().Update(ctx, released, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("release volume %s: %w", volume.Name, err)
	}
	return nil
}

// makeFolder makes a folder that pods of any user can write, as other local
// provisioners do: which user a pod runs as is not known here.
func makeFolder(root *os.Root, name string) error {
	err := root.Mkdir(name, 0o777)
	if os.IsExist(err) {
		info, err := root.Lstat(name)
		if err != nil {
			return fmt.Errorf("look at the folder of volume %s: %w", name, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("volume %s is no folder but %s", name, info.Mode().Type())
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the folder of volume %s: %w", name, err)
	}
	slog.Info("made a local volume", "volume", name)
	// Mkdir is subject to the process' umask.
	if err := root.Chmod(name, 0o777); err != nil {
		return fmt.Errorf("open the folder of volume %s to pods: %w", name, err)
	}
	return nil
}
