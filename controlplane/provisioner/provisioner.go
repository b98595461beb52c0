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
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
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

// Run provisions until ctx ends.
func Run(ctx context.Context, s Settings) error {
	client, err := kubernetes.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the provisioner's client: %w", err)
	}
	provisioning := controller.NewProvisionController(ctx, client, names.LocalProvisioner, local{},
		controller.LeaderElection(false),
		controller.Threadiness(workers),
	)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { provisioning.Run(ctx) })
	if s.HostFolder != "" {
		onHost := controller.NewProvisionController(ctx, client, names.HostProvisioner, host{s.HostFolder},
			controller.LeaderElection(false), controller.Threadiness(1))
		running.Go(func() { onHost.Run(ctx) })
	}
	ended := make(chan error, 1)
	running.Go(func() { ended <- resizeClaims(ctx, client, s.Log) })
	err = releaseOrphans(ctx, client, s.Log)
	return errors.Join(err, <-ended)
}

// local provisions volumes. Node agents delete them.
type local struct{}

// Provision implements controller.Provisioner.
func (local) Provision(_ context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	volume, err := Volume(o)
	return volume, controller.ProvisioningFinished, err
}

// Delete implements controller.Provisioner. The node agent does the work.
func (local) Delete(context.Context, *corev1.PersistentVolume) error { return nil }

// Volume returns the volume for a claim. Its path follows from its name, so that no
// claim can choose it.
func Volume(o controller.ProvisionOptions) (*corev1.PersistentVolume, error) {
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
	filesystem := corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName, Finalizers: []string{names.LocalVolumeFinalizer}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   o.PVC.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: reclaimPolicy(o),
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    &filesystem,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path.Join(names.LocalVolumesDir, o.PVName)}},
			NodeAffinity:                  onNode(o.SelectedNodeName),
		},
	}, nil
}

// checkClaim returns an error for what a new directory cannot be.
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

func reclaimPolicy(o controller.ProvisionOptions) corev1.PersistentVolumeReclaimPolicy {
	if o.StorageClass.ReclaimPolicy != nil {
		return *o.StorageClass.ReclaimPolicy
	}
	return corev1.PersistentVolumeReclaimDelete
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
