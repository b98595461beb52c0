package kubelet

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	upstream "k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	"k8s.io/kubernetes/pkg/util/oom"
)

// containers is a container manager that creates cgroups with a function.
type containers struct {
	cm.ContainerManager
	cm.PodContainerManager
	ensure func() error
}

func (c containers) NewPodContainerManager() cm.PodContainerManager { return c }

func (c containers) EnsureExists(klog.Logger, *corev1.Pod) error { return c.ensure() }

// awaiting returns dependencies whose container manager waits for volumes below
// root, as after upstream has reached the place where it is wrapped.
func awaiting(t *testing.T, root string, starting func(), ensure func() error) *upstream.Dependencies {
	t.Helper()
	adjusted := 0
	dependencies := &upstream.Dependencies{OOMAdjuster: &oom.OOMAdjuster{
		ApplyOOMScoreAdj: func(_, _ int) error { adjusted++; return nil },
	}}
	awaitMounts(dependencies, root, starting)
	dependencies.ContainerManager = containers{ensure: ensure}
	for range 2 {
		if err := dependencies.OOMAdjuster.ApplyOOMScoreAdj(0, -999); err != nil {
			t.Fatal(err)
		}
	}
	if adjusted != 2 {
		t.Errorf("the score was set %d times, not 2", adjusted)
	}
	return dependencies
}

// podWith returns a pod that mounts all of the volumes.
func podWith(volumes ...corev1.Volume) *corev1.Pod {
	container := corev1.Container{Name: "main"}
	for _, volume := range volumes {
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: volume.Name})
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{UID: "uid"},
		Spec:       corev1.PodSpec{Volumes: volumes, Containers: []corev1.Container{container}},
	}
}

func volumeNamed(name string, source corev1.VolumeSource) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: source}
}

var (
	account  = volumeNamed("token", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}})
	config   = volumeNamed("config", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}})
	secret   = volumeNamed("secret", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}})
	downward = volumeNamed("downward", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{}})
	scratch  = volumeNamed("scratch", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	host     = volumeNamed("host", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}})
	claim    = volumeNamed("claim", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}})
)

func TestMarksNameTheVolumesThatContainersMount(t *testing.T) {
	unused := podWith(account)
	unused.Spec.Volumes = append(unused.Spec.Volumes, config)
	for name, test := range map[string]struct {
		pod  *corev1.Pod
		want []string
	}{
		"without volumes": {pod: podWith()},
		"every kind that can be seen": {
			pod: podWith(account, config, secret, downward, scratch, host),
			want: []string{
				"volumes/kubernetes.io~projected/token/..data",
				"volumes/kubernetes.io~configmap/config/..data",
				"volumes/kubernetes.io~secret/secret/..data",
				"volumes/kubernetes.io~downward-api/downward/..data",
				"plugins/kubernetes.io~empty-dir/scratch/ready",
			},
		},
		"a volume that cannot be seen":     {pod: podWith(account, claim)},
		"a volume that no container wants": {pod: unused, want: []string{"volumes/kubernetes.io~projected/token/..data"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range test.want {
				test.want[i] = "/root/pods/uid/" + test.want[i]
			}
			if got := marks("/root", test.pod); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAPodWaitsForItsVolumes(t *testing.T) {
	const mounted = 120 * time.Millisecond
	for name, test := range map[string]struct {
		pod      *corev1.Pod
		ensure   error
		min, max time.Duration
	}{
		"mounted volumes":   {pod: podWith(account, scratch), min: mounted + mountsPeriod, max: mounted + 2*mountsPeriod},
		"a missing volume":  {pod: podWith(account, config), min: mountsLimit - 2*mountsPeriod, max: mountsLimit},
		"without volumes":   {pod: podWith()},
		"unknown volumes":   {pod: podWith(account, claim)},
		"a cgroup's error":  {pod: podWith(account), ensure: errors.New("no cgroup")},
		"only a host's dir": {pod: podWith(host)},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				started := 0
				dependencies := awaiting(t, root, func() { started++ }, func() error { return test.ensure })
				go func() {
					time.Sleep(mounted)
					for _, path := range marks(root, podWith(account, scratch)) {
						mark(t, path)
					}
				}()
				begun := time.Now()
				err := dependencies.ContainerManager.NewPodContainerManager().EnsureExists(klog.Background(), test.pod)
				if !errors.Is(err, test.ensure) {
					t.Errorf("got error %v, want %v", err, test.ensure)
				}
				if took := time.Since(begun); took < test.min || took > test.max {
					t.Errorf("took %s, not between %s and %s", took, test.min, test.max)
				}
				if started != 1 {
					t.Errorf("told %d times of a pod that starts", started)
				}
				time.Sleep(mounted)
			})
		})
	}
}

func mark(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Error(err)
	}
}

func TestOtherCallsReachUpstreamsContainerManager(t *testing.T) {
	inner := cm.NewStubContainerManager()
	wrapped := mountsAwaiting{ContainerManager: inner, root: t.TempDir()}
	if _, isWrapped := wrapped.NewPodContainerManager().(podMountsAwaiting); !isWrapped {
		t.Error("the manager of pods' cgroups does not wait")
	}
	if is, uid := wrapped.NewPodContainerManager().IsPodCgroup("/kubepods"); is || uid != "" {
		t.Errorf("got %t, %q", is, uid)
	}
	if wrapped.Status() != inner.Status() {
		t.Error("the status is another")
	}
}

func TestNothingIsWrappedWithoutAContainerManager(t *testing.T) {
	dependencies := &upstream.Dependencies{OOMAdjuster: oom.NewOOMAdjuster()}
	dependencies.OOMAdjuster.ApplyOOMScoreAdj = func(_, _ int) error { return nil }
	awaitMounts(dependencies, t.TempDir(), func() {})
	if err := dependencies.OOMAdjuster.ApplyOOMScoreAdj(0, 0); err != nil || dependencies.ContainerManager != nil {
		t.Errorf("got %v, %v", dependencies.ContainerManager, err)
	}
}
