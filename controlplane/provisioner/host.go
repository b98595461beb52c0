package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	corev1 "k8s.io/api/core/v1"
	storagehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"github.com/skiff-dev/skiff/internal/names"
)

// host provisions volumes in a folder of the host, which every node has at the same
// path, this one included.
type host struct{ folder string }

// Provision implements controller.Provisioner: it creates the volume's directory.
func (h host) Provision(_ context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	volume, err := hostVolume(h.folder, o)
	if err == nil {
		err = h.create(path.Base(volume.Spec.HostPath.Path))
	}
	return volume, controller.ProvisioningFinished, err
}

// hostVolume returns the volume for a claim. Its directory has the claim's name, so
// that users find it on their host.
func hostVolume(folder string, o controller.ProvisionOptions) (*corev1.PersistentVolume, error) {
	if len(o.StorageClass.Parameters) > 0 {
		return nil, fmt.Errorf("storage class %s must not have parameters: volumes on the host have none", o.StorageClass.Name)
	}
	if err := checkClaim(o); err != nil {
		return nil, err
	}
	name := o.PVC.Namespace + "-" + o.PVC.Name + "-" + o.PVName
	if path.Base(name) != name {
		return nil, fmt.Errorf("invalid volume name %q: it must be a file name", name)
	}
	return newVolume(o, corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
		Path: path.Join(folder, name), Type: ptr.To(corev1.HostPathDirectory),
	}}), nil
}

// create creates a directory that every user can write, because pods may run as any.
func (h host) create(name string) error {
	root, err := os.OpenRoot(h.folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := root.Mkdir(name, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return root.Chmod(name, 0o777) // Mkdir is subject to the umask
}

// Delete implements controller.Provisioner: it removes the directory. The path in
// the volume is not trusted.
func (h host) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	if volume.Annotations[storagehelpers.AnnDynamicallyProvisioned] != names.HostProvisioner || volume.Spec.HostPath == nil {
		return &controller.IgnoredError{Reason: "the volume is not on the host"}
	}
	name := path.Base(volume.Spec.HostPath.Path)
	if path.Join(h.folder, name) != volume.Spec.HostPath.Path || volume.Spec.HostPath.Path == h.folder {
		return fmt.Errorf("%s is not in %s, the folder of volumes on the host", volume.Spec.HostPath.Path, h.folder)
	}
	root, err := os.OpenRoot(h.folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return root.RemoveAll(name)
}
