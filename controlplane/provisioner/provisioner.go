// Package provisioner provisions volumes for the claims of Skiff's storage classes.
// A local volume is a directory on the node that the scheduler chose. The node's
// agent creates the directory before use; once the volume is deleted it removes the
// directory and then the volume's finalizer. A volume on the host is a directory in
// a folder of the host that all nodes mount.
package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"github.com/skiff-dev/skiff/internal/names"
)

// workers is the number of concurrent provisioning operations.
const workers = 2

// Settings configure the provisioner.
type Settings struct {
	Client *rest.Config
	// HostFolder is the path of the folder of the host that has volumes; empty if
	// there is none.
	HostFolder string
	Log        *slog.Logger
}

// Run provisions until ctx ends or a part fails.
func Run(ctx context.Context, s Settings) error {
	client, err := kubernetes.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the provisioner's client: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	run := func(provisioning *controller.ProvisionController) {
		group.Go(func() error {
			provisioning.Run(ctx)
			return nil
		})
	}
	run(controller.NewProvisionController(ctx, client, names.LocalProvisioner, local{},
		controller.LeaderElection(false), controller.Threadiness(workers)))
	if s.HostFolder != "" {
		run(controller.NewProvisionController(ctx, client, names.HostProvisioner, host{s.HostFolder},
			controller.LeaderElection(false), controller.Threadiness(1)))
	}
	group.Go(func() error { return resizeClaims(ctx, client, s.Log) })
	group.Go(func() error { return releaseOrphans(ctx, client, s.Log) })
	return group.Wait()
}

// local provisions volumes. Node agents delete them.
type local struct{}

// Provision implements controller.Provisioner.
func (local) Provision(_ context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	volume, err := localVolume(o)
	return volume, controller.ProvisioningFinished, err
}

// Delete implements controller.Provisioner. The node agent does the work.
func (local) Delete(context.Context, *corev1.PersistentVolume) error { return nil }

// localVolume returns the volume for a claim. Its path follows from its name, so that no
// claim can choose it.
func localVolume(o controller.ProvisionOptions) (*corev1.PersistentVolume, error) {
	switch {
	case o.SelectedNodeName == "":
		return nil, fmt.Errorf("storage class %s must have volumeBindingMode WaitForFirstConsumer: a local volume needs a node", o.StorageClass.Name)
	case len(o.StorageClass.Parameters) > 0:
		return nil, fmt.Errorf("storage class %s must not have parameters: local volumes have none", o.StorageClass.Name)
	case slices.Contains(o.PVC.Spec.AccessModes, corev1.ReadWriteMany):
		return nil, fmt.Errorf("the claim must not ask for ReadWriteMany: a local volume is on one node; use the storage class %q, which needs a mount", names.HostStorageClass)
	case o.PVName == "" || path.Base(o.PVName) != o.PVName:
		return nil, fmt.Errorf("invalid volume name %q: it must be a file name", o.PVName)
	}
	if err := checkClaim(o); err != nil {
		return nil, err
	}
	volume := newVolume(o, corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path.Join(names.LocalVolumesDir, o.PVName)}})
	volume.Finalizers = []string{names.LocalVolumeFinalizer}
	volume.Spec.NodeAffinity = onNode(o.SelectedNodeName)
	return volume, nil
}

// newVolume returns the volume for a claim, with a directory at the source.
func newVolume(o controller.ProvisionOptions, source corev1.PersistentVolumeSource) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   o.PVC.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: ptr.Deref(o.StorageClass.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete),
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    ptr.To(corev1.PersistentVolumeFilesystem),
			PersistentVolumeSource:        source,
		},
	}
}

// checkClaim returns an error for a claim that a new, empty directory cannot satisfy.
func checkClaim(o controller.ProvisionOptions) error {
	switch {
	case o.PVC.Spec.Selector != nil:
		return errors.New("the claim must not have a selector: volumes are provisioned for their claim")
	case o.PVC.Spec.DataSource != nil || o.PVC.Spec.DataSourceRef != nil:
		return errors.New("the claim must not have a data source: volumes start empty")
	case o.PVC.Spec.VolumeMode != nil && *o.PVC.Spec.VolumeMode == corev1.PersistentVolumeBlock:
		return errors.New("the claim must not ask for a block device: a volume is a directory")
	}
	return nil
}

func onNode(name string) *corev1.VolumeNodeAffinity {
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{name},
		}},
	}}}}
}

// NodeOf returns the node of a local volume, or "" for other volumes.
func NodeOf(v *corev1.PersistentVolume) string {
	if v.Spec.Local == nil || v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil {
		return ""
	}
	for _, term := range v.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			if e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 {
				return e.Values[0]
			}
		}
	}
	return ""
}
