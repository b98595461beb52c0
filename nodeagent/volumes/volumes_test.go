package volumes

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/internal/runtest"
)

func TestCreatesADirectoryThatEveryPodCanWrite(t *testing.T) {
	v, root := open(t)
	if err := v.reconcile(t.Context(), root, volume(v, "pvc-1")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(v.Dir, "pvc-1"))
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := v.reconcile(t.Context(), root, volume(v, "pvc-1")); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestIgnoresVolumesThatAreNotItsOwn(t *testing.T) {
	for name, change := range map[string]func(*corev1.PersistentVolume){
		"another provisioner's": func(v *corev1.PersistentVolume) { v.Annotations = nil },
		"another node's": func(v *corev1.PersistentVolume) {
			v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values = []string{"worker-2"}
		},
		"any node's":          func(v *corev1.PersistentVolume) { v.Spec.NodeAffinity = nil },
		"not local":           func(v *corev1.PersistentVolume) { v.Spec.Local = nil },
		"outside":             func(v *corev1.PersistentVolume) { v.Spec.Local.Path = "/etc" },
		"outside by dots":     func(v *corev1.PersistentVolume) { v.Spec.Local.Path += "/../../other" },
		"another volume's":    func(v *corev1.PersistentVolume) { v.Spec.Local.Path += "2" },
		"a name with a slash": func(v *corev1.PersistentVolume) { v.Name, v.Spec.Local.Path = "a/b", v.Spec.Local.Path+"/b" },
	} {
		t.Run(name, func(t *testing.T) {
			v, root := open(t)
			other := volume(v, "pvc-1")
			change(other)
			if err := v.reconcile(t.Context(), root, other); err != nil {
				t.Fatal(err)
			}
			if entries, err := os.ReadDir(v.Dir); err != nil || len(entries) != 0 {
				t.Errorf("made %v, %v", entries, err)
			}
		})
	}
}

func TestRemovesADirectoryOnlyWhenTheVolumeIsDeleted(t *testing.T) {
	for _, test := range []struct {
		name            string
		deleted         bool
		phase           corev1.PersistentVolumePhase
		policy          corev1.PersistentVolumeReclaimPolicy
		removed, remain bool // the folder; the finalizer
	}{
		{"in use", false, corev1.VolumeBound, corev1.PersistentVolumeReclaimDelete, false, true},
		{"released", false, corev1.VolumeReleased, corev1.PersistentVolumeReclaimDelete, false, true},
		{"deleted, still claimed", true, corev1.VolumeBound, corev1.PersistentVolumeReclaimDelete, false, true},
		{"deleted", true, corev1.VolumeReleased, corev1.PersistentVolumeReclaimDelete, true, false},
		{"deleted, content retained", true, corev1.VolumeReleased, corev1.PersistentVolumeReclaimRetain, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, root := open(t)
			pv := volume(v, "pvc-1")
			pv.Status.Phase, pv.Spec.PersistentVolumeReclaimPolicy = test.phase, test.policy
			if test.deleted {
				pv.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
			}
			api := fake.NewSimpleClientset(pv)
			v.API = api
			write(t, filepath.Join(v.Dir, "pvc-1", "deep", "file"))
			if err := v.reconcile(t.Context(), root, pv); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(v.Dir, "pvc-1")); os.IsNotExist(err) != test.removed {
				t.Errorf("folder: %v", err)
			}
			remain := true
			for _, action := range api.Actions() {
				if action.GetVerb() == "update" {
					remain = false
				}
			}
			if remain != test.remain {
				t.Errorf("finalizer remains: %v, want %v", remain, test.remain)
			}
		})
	}
}

func TestRemovalDoesNotFollowLinks(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "precious"))
	v, root := open(t)
	pv := volume(v, "pvc-1")
	pv.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	v.API = fake.NewSimpleClientset(pv)
	write(t, filepath.Join(v.Dir, "pvc-1", "file"))
	if err := os.Symlink(outside, filepath.Join(v.Dir, "pvc-1", "link")); err != nil {
		t.Fatal(err)
	}
	if err := v.reconcile(t.Context(), root, pv); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "precious")); err != nil {
		t.Error(err)
	}
	// The folder itself replaced by a link goes, what it leads to stays.
	if err := os.Symlink(outside, filepath.Join(v.Dir, "pvc-1")); err != nil {
		t.Fatal(err)
	}
	if err := v.reconcile(t.Context(), root, pv); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "precious")); err != nil {
		t.Error(err)
	}
}

func TestALinkIsNotADirectory(t *testing.T) {
	v, root := open(t)
	if err := os.Symlink(t.TempDir(), filepath.Join(v.Dir, "pvc-1")); err != nil {
		t.Fatal(err)
	}
	if err := v.reconcile(t.Context(), root, volume(v, "pvc-1")); err == nil {
		t.Error("no error")
	}
}

func TestRunFollowsTheCluster(t *testing.T) {
	v, _ := open(t)
	pv := volume(v, "pvc-1")
	api := fake.NewSimpleClientset(pv)
	v.API = api
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	path := filepath.Join(v.Dir, "pvc-1")
	await(t, func() bool { _, err := os.Stat(path); return err == nil })
	runtest.AwaitWatch(t, api.Actions, "persistentvolumes")

	deleted := pv.DeepCopy()
	deleted.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	if _, err := v.API.CoreV1().PersistentVolumes().Update(ctx, deleted, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { _, err := os.Stat(path); return os.IsNotExist(err) })
	await(t, func() bool {
		got, err := v.API.CoreV1().PersistentVolumes().Get(ctx, pv.Name, metav1.GetOptions{})
		return err != nil || !slices.Contains(got.Finalizers, names.LocalVolumeFinalizer)
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// await returns when the condition holds; the test's own time limit ends it
// otherwise.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	for !holds() {
		if t.Context().Err() != nil {
			t.Fatal("ended while waiting")
		}
		time.Sleep(time.Millisecond)
	}
}

func open(t *testing.T) (Volumes, *os.Root) {
	t.Helper()
	v := Volumes{NodeName: "worker-1", API: fake.NewSimpleClientset(), Dir: t.TempDir()}
	root, err := os.OpenRoot(v.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return v, root
}

func volume(v Volumes, name string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": "skiff.dev/local"},
			Finalizers:  []string{"kubernetes.io/pv-protection", "skiff.dev/local-volume"},
		},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: filepath.Join(v.Dir, name)},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: "kubernetes.io/hostname", Operator: corev1.NodeSelectorOpIn, Values: []string{v.NodeName}},
				}}},
			}},
		},
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
}
