// Package provisioner provisions volumes for claims of the default storage class. A
// volume is a directory on the node that the scheduler chose. The node's agent
// creates the directory before use; once the volume is deleted it removes the
// directory and then the volume's finalizer.
package provisioner

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"slices"

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
	Log    *slog.Logger
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
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		provisioning.Run(ctx)
	}()
	err = releaseOrphans(ctx, client, s.Log)
	<-ended
	return err
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
	case o.PVC.Spec.Selector != nil:
		return nil, fmt.Errorf("the claim must not have a selector: local volumes are provisioned for their claim")
	case o.PVC.Spec.DataSource != nil || o.PVC.Spec.DataSourceRef != nil:
		return nil, fmt.Errorf("the claim must not have a data source: local volumes start empty")
	case slices.Contains(o.PVC.Spec.AccessModes, corev1.ReadWriteMany):
		return nil, fmt.Errorf("the claim must not ask for ReadWriteMany: a local volume is on one node")
	case o.PVName == "" || path.Base(o.PVName) != o.PVName:
		return nil, fmt.Errorf("invalid volume name %q: it must be a file name", o.PVName)
	}
	reclaim := corev1.PersistentVolumeReclaimDelete
	if o.StorageClass.ReclaimPolicy != nil {
		reclaim = *o.StorageClass.ReclaimPolicy
	}
	filesystem := corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName, Finalizers: []string{names.LocalVolumeFinalizer}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   o.PVC.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: reclaim,
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    &filesystem,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path.Join(names.LocalVolumesDir, o.PVName)}},
			NodeAffinity:                  onNode(o.SelectedNodeName),
		},
	}, nil
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
