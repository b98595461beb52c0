package provisioner

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	storagehelpers "k8s.io/component-helpers/storage/volume"

	"github.com/skiff-dev/skiff/controlplane/informing"
	"github.com/skiff-dev/skiff/internal/names"
)

// resized returns the size that a claim and its volume must report, and false if
// there is nothing to change. A directory has no size, so only the figures change.
func resized(claim *corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) (resource.Quantity, bool) {
	provisioner := volume.Annotations[storagehelpers.AnnDynamicallyProvisioned]
	if provisioner != names.LocalProvisioner && provisioner != names.HostProvisioner {
		return resource.Quantity{}, false
	}
	if ref := volume.Spec.ClaimRef; ref == nil || ref.UID != claim.UID {
		return resource.Quantity{}, false
	}
	asked := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	return asked, asked.Cmp(volume.Spec.Capacity[corev1.ResourceStorage]) > 0 ||
		asked.Cmp(claim.Status.Capacity[corev1.ResourceStorage]) > 0
}

// growing reports whether a bound claim asks for more than it has.
func growing(claim *corev1.PersistentVolumeClaim) bool {
	asked := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	return claim.Status.Phase == corev1.ClaimBound && claim.Spec.VolumeName != "" && claim.DeletionTimestamp == nil &&
		asked.Cmp(claim.Status.Capacity[corev1.ResourceStorage]) > 0
}

// resizeClaims resizes claims that ask for more storage, until ctx ends.
func resizeClaims(ctx context.Context, client kubernetes.Interface, log *slog.Logger) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	claims := factory.Core().V1().PersistentVolumeClaims()
	queue := newQueue[cache.ObjectName]()
	defer queue.ShutDown()
	enqueue := func(object any) {
		if c, ok := object.(*corev1.PersistentVolumeClaim); ok && growing(c) {
			queue.Add(cache.MetaObjectToName(c))
		}
	}
	if _, err := claims.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) },
	}); err != nil {
		return fmt.Errorf("watch claims: %w", err)
	}
	informing.Start(ctx, factory)
	defer factory.Shutdown()
	queue.run(ctx, func(ctx context.Context, name cache.ObjectName) error {
		claim, err := claims.Lister().PersistentVolumeClaims(name.Namespace).Get(name.Name)
		if err == nil {
			err = resize(ctx, client, claim)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}, func(name cache.ObjectName, err error) {
		log.Warn("cannot resize a claim, trying again later", "claim", name.String(), "error", err)
	})
	return nil
}

// resize changes the capacity of the volume, then that of the claim.
func resize(ctx context.Context, client kubernetes.Interface, claim *corev1.PersistentVolumeClaim) error {
	volume, err := client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read volume: %w", err)
	}
	size, ok := resized(claim, volume)
	if !ok {
		return nil
	}
	storage := map[string]any{string(corev1.ResourceStorage): size.String()}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"capacity": storage}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	if _, err := client.CoreV1().PersistentVolumes().Patch(ctx, volume.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("resize volume %s: %w", volume.Name, err)
	}
	// Tools that follow KEP-1790 look for the allocated size, too.
	status := map[string]any{"capacity": storage, "allocatedResources": storage}
	if patch, err = json.Marshal(map[string]any{"status": status}); err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	_, err = client.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("update the claim's status: %w", err)
	}
	return nil
}
