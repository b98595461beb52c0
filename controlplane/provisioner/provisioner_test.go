package provisioner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	storagehelpers "k8s.io/component-helpers/storage/volume"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"github.com/skiff-dev/skiff/internal/names"
)

func claim() controller.ProvisionOptions {
	return controller.ProvisionOptions{
		PVName:           "pvc-1234",
		SelectedNodeName: "worker-1",
		StorageClass:     &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}},
		PVC: &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}},
	}
}

func TestVolumeIsADirectoryOnTheChosenNode(t *testing.T) {
	v, err := localVolume(claim())
	if err != nil {
		t.Fatal(err)
	}
	capacity := v.Spec.Capacity[corev1.ResourceStorage]
	if v.Name != "pvc-1234" || v.Spec.Local.Path != "/var/lib/skiff/volumes/pvc-1234" || NodeOf(v) != "worker-1" ||
		v.Finalizers[0] != names.LocalVolumeFinalizer || capacity.String() != "1Gi" ||
		v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		t.Fatalf("%+v", v)
	}
}

func TestVolumeRefusesClaimsThatItCannotServe(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*controller.ProvisionOptions)
		want string
	}{
		{"no node", func(o *controller.ProvisionOptions) { o.SelectedNodeName = "" }, "WaitForFirstConsumer"},
		{"parameters", func(o *controller.ProvisionOptions) { o.StorageClass.Parameters = map[string]string{"path": "/"} }, "parameters"},
		{"selector", func(o *controller.ProvisionOptions) { o.PVC.Spec.Selector = &metav1.LabelSelector{} }, "selector"},
		{"a clone", func(o *controller.ProvisionOptions) {
			o.PVC.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "other"}
		}, "start empty"},
		{"what a populator fills", func(o *controller.ProvisionOptions) {
			o.PVC.Spec.DataSourceRef = &corev1.TypedObjectReference{Kind: "Hello", Name: "world"}
		}, "start empty"},
		{"many nodes", func(o *controller.ProvisionOptions) {
			o.PVC.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		}, "ReadWriteMany"},
		{"a path for a name", func(o *controller.ProvisionOptions) { o.PVName = "../../etc" }, "file name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := claim()
			tt.edit(&o)
			if _, err := localVolume(o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func deleted(v *corev1.PersistentVolume) *corev1.PersistentVolume {
	now := metav1.NewTime(time.Unix(1, 0))
	v.DeletionTimestamp = &now
	return v
}

func TestOnlyDeletedVolumesOfMissingNodesAreOrphaned(t *testing.T) {
	volume := func() *corev1.PersistentVolume { v, _ := localVolume(claim()); return v }
	foreign := deleted(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"other"}}})
	for _, tt := range []struct {
		name   string
		volume *corev1.PersistentVolume
		exists bool
		want   bool
	}{
		{"in use", volume(), false, false},
		{"deleted, node there", deleted(volume()), true, false},
		{"deleted, node gone", deleted(volume()), false, true},
		{"somebody else's", foreign, false, false},
	} {
		if got := Orphaned(tt.volume, func(string) bool { return tt.exists }); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestReleaseRemovesOnlyOurFinalizer(t *testing.T) {
	v, _ := localVolume(claim())
	deleted(v).Finalizers = append(v.Finalizers, "kubernetes.io/pv-protection")
	client := fake.NewClientset(v)
	if err := release(t.Context(), client, v.Name); err != nil {
		t.Fatal(err)
	}
	got, err := client.CoreV1().PersistentVolumes().Get(t.Context(), v.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		t.Fatal("the volume is gone although it has another finalizer")
	}
	if err != nil || len(got.Finalizers) != 1 || got.Finalizers[0] != "kubernetes.io/pv-protection" {
		t.Fatalf("%v, %v", got.Finalizers, err)
	}
}

func TestHostVolumesAreDirectoriesInTheFolder(t *testing.T) {
	folder := t.TempDir()
	o := claim()
	o.SelectedNodeName = ""
	o.PVC.Namespace, o.PVC.Name = "default", "data"
	o.PVC.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	h := host{folder}
	volume, _, err := h.Provision(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(folder, "default-data-pvc-1234")
	if volume.Spec.HostPath.Path != dir || volume.Spec.NodeAffinity != nil {
		t.Errorf("%+v", volume.Spec)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("%v, %v", info, err)
	}
	if _, _, err := h.Provision(t.Context(), o); err != nil {
		t.Errorf("again: %v", err)
	}
	volume.Annotations = map[string]string{storagehelpers.AnnDynamicallyProvisioned: names.HostProvisioner}
	if err := h.Delete(t.Context(), volume); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestHostVolumesOutsideOfTheFolderAreNotDeleted(t *testing.T) {
	folder, other := t.TempDir(), t.TempDir()
	for _, path := range []string{other, folder, folder + "/..", filepath.Join(folder, "a", "b"), "/"} {
		volume := &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: path},
		}}}
		if err := (host{folder}).Delete(t.Context(), volume); err == nil {
			t.Errorf("%s: a volume that was not provisioned here was deleted", path)
		}
		volume.Annotations = map[string]string{storagehelpers.AnnDynamicallyProvisioned: names.HostProvisioner}
		if err := (host{folder}).Delete(t.Context(), volume); err == nil {
			t.Errorf("%s: deleted", path)
		}
	}
	for _, dir := range []string{folder, other} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestClaimsGrowWithTheirVolume(t *testing.T) {
	storage := func(size string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
	}
	bound := func(asked, claimed, capacity, provisioner string) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
		return &corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "default", UID: "u1"},
				Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pvc-u1", Resources: corev1.VolumeResourceRequirements{Requests: storage(asked)}},
				Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: storage(claimed)},
			}, &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: "pvc-u1", Annotations: map[string]string{storagehelpers.AnnDynamicallyProvisioned: provisioner}},
				Spec:       corev1.PersistentVolumeSpec{Capacity: storage(capacity), ClaimRef: &corev1.ObjectReference{UID: "u1"}},
			}
	}
	for _, c := range []struct {
		name, asked, claimed, capacity, provisioner string
		want                                        bool
	}{
		{"the same", "1Gi", "1Gi", "1Gi", names.LocalProvisioner, false},
		{"more", "2Gi", "1Gi", "1Gi", names.LocalProvisioner, true},
		{"more on the host", "2Gi", "1Gi", "1Gi", names.HostProvisioner, true},
		{"interrupted between volume and claim", "2Gi", "1Gi", "2Gi", names.LocalProvisioner, true},
		{"another provisioner", "2Gi", "1Gi", "1Gi", "example.com/nfs", false},
	} {
		claim, volume := bound(c.asked, c.claimed, c.capacity, c.provisioner)
		client := fake.NewClientset(claim, volume)
		if err := resize(t.Context(), client, claim); err != nil {
			t.Fatal(err)
		}
		after, err := client.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "data", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := after.Status.Capacity[corev1.ResourceStorage]
		if grown := got.String() != c.claimed; grown != c.want {
			t.Errorf("%s: the claim has %s", c.name, got.String())
		}
		if allocated := after.Status.AllocatedResources[corev1.ResourceStorage]; c.want && allocated.Cmp(got) != 0 {
			t.Errorf("%s: the claim has %s and was allocated %s", c.name, got.String(), allocated.String())
		}
	}
	claim, volume := bound("2Gi", "1Gi", "1Gi", names.LocalProvisioner)
	volume.Spec.ClaimRef.UID = "another"
	if _, ok := resized(claim, volume); ok {
		t.Error("the volume of another claim grows")
	}
}
