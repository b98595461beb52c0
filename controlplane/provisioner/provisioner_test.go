package provisioner

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
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
	v, err := Volume(claim())
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
			if _, err := Volume(o); err == nil || !strings.Contains(err.Error(), tt.want) {
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
	volume := func() *corev1.PersistentVolume { v, _ := Volume(claim()); return v }
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
	v, _ := Volume(claim())
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
