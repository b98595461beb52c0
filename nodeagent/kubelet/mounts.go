package kubelet

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	upstream "k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	volumeutil "k8s.io/kubernetes/pkg/volume/util"
)

const (
	// mountsLimit is two of podAttachAndMountRetryInterval in
	// k8s.io/kubernetes/pkg/kubelet/volumemanager, after which the kubelet looks
	// anyway: volumes that come later are found no later than without this wait.
	mountsLimit = 600 * time.Millisecond
	// mountsPeriod is how often to look. One more passes after all is there,
	// in which the volume manager takes note of it.
	mountsPeriod = 10 * time.Millisecond
)

// awaitMounts has the kubelet that is made of these dependencies call starting for
// a new pod, and wait for its volumes before it looks whether they are mounted. It
// looks at once and then every 300 ms; a service account's token is mounted after
// 100 to 300, three steps of loops that run every 100 ms. The container manager
// makes the pod's cgroup just before, which therefore ends when the volumes are
// there.
//
// Upstream makes the container manager itself, of much that is private, and uses
// it after it has set its own OOM score: that is where it is wrapped.
func awaitMounts(dependencies *upstream.Dependencies, root string, starting func()) {
	adjust := dependencies.OOMAdjuster.ApplyOOMScoreAdj
	var once sync.Once
	dependencies.OOMAdjuster.ApplyOOMScoreAdj = func(pid, score int) error {
		once.Do(func() {
			if dependencies.ContainerManager == nil {
				slog.Error("the kubelet has no container manager yet: pods start 0.1 s later than they could")
				return
			}
			dependencies.ContainerManager = mountsAwaiting{dependencies.ContainerManager, root, starting}
		})
		return adjust(pid, score)
	}
}

// mountsAwaiting is a container manager that makes a pod's cgroup and waits for
// its volumes.
type mountsAwaiting struct {
	cm.ContainerManager
	root     string // the kubelet's
	starting func()
}

func (m mountsAwaiting) NewPodContainerManager() cm.PodContainerManager {
	return podMountsAwaiting{m.ContainerManager.NewPodContainerManager(), m}
}

type podMountsAwaiting struct {
	cm.PodContainerManager
	node mountsAwaiting
}

// EnsureExists is called for a pod that has no cgroup, so once in the life of a
// pod on a machine that stays up.
func (m podMountsAwaiting) EnsureExists(logger klog.Logger, pod *corev1.Pod) error {
	m.node.starting()
	if err := m.PodContainerManager.EnsureExists(logger, pod); err != nil {
		return err
	}
	waitFor(marks(m.node.root, pod))
	return nil
}

// waitFor returns a mountsPeriod after all files are there, or after mountsLimit.
func waitFor(files []string) {
	for deadline := time.Now().Add(mountsLimit - mountsPeriod); len(files) > 0 && time.Now().Before(deadline); {
		files = slices.DeleteFunc(files, func(path string) bool {
			_, err := os.Lstat(path)
			return err == nil
		})
		time.Sleep(mountsPeriod)
	}
}

// marks are the files that are made last when the volumes of a pod are mounted,
// none if the pod has a volume of which that cannot be seen.
func marks(root string, pod *corev1.Pod) []string {
	pods := filepath.Join(root, "pods", string(pod.UID))
	mounted, _, _ := volumeutil.GetPodVolumeNames(pod, false)
	var files []string
	for _, volume := range pod.Spec.Volumes {
		plugin := ""
		switch source := volume.VolumeSource; {
		case !mounted.Has(volume.Name), source.HostPath != nil:
			continue // nothing is mounted
		case source.EmptyDir != nil:
			files = append(files, filepath.Join(pods, "plugins", "kubernetes.io~empty-dir", volume.Name, "ready"))
			continue
		case source.Projected != nil:
			plugin = "kubernetes.io~projected"
		case source.ConfigMap != nil:
			plugin = "kubernetes.io~configmap"
		case source.Secret != nil:
			plugin = "kubernetes.io~secret"
		case source.DownwardAPI != nil:
			plugin = "kubernetes.io~downward-api"
		default:
			return nil
		}
		files = append(files, filepath.Join(pods, "volumes", plugin, volume.Name, "..data"))
	}
	return files
}
