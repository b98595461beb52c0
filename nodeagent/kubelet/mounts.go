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
	// k8s.io/kubernetes/pkg/kubelet/volumemanager. After that the kubelet checks
	// anyway, so volumes that come later are found no later than without this wait.
	mountsLimit = 600 * time.Millisecond
	// mountsPeriod is the time between two checks. One more period passes once all
	// volumes are mounted, in which the volume manager records them.
	mountsPeriod = 10 * time.Millisecond
)

// awaitMounts makes the kubelet with these dependencies call starting for a new
// pod, and wait for the pod's volumes before it checks whether they are mounted.
// Upstream checks at once and then every 300 ms, while a service account's token is
// mounted after 100 to 300 ms, three steps of loops that run every 100 ms. The
// container manager creates the pod's cgroup just before, so that is where the wait
// takes place.
//
// Upstream builds the container manager itself, from much that is private, and uses
// it after it has set its own OOM score: that is where it is wrapped.
// TestUpstream… check that all of this is still true.
func awaitMounts(dependencies *upstream.Dependencies, root string, starting func()) {
	adjust := dependencies.OOMAdjuster.ApplyOOMScoreAdj
	var once sync.Once
	dependencies.OOMAdjuster.ApplyOOMScoreAdj = func(pid, score int) error {
		once.Do(func() {
			if dependencies.ContainerManager == nil {
				slog.Error("the kubelet has no container manager yet: pods start 0.1 s later than necessary")
				return
			}
			dependencies.ContainerManager = mountsAwaiting{dependencies.ContainerManager, root, starting}
		})
		return adjust(pid, score)
	}
}

// mountsAwaiting is a container manager that creates a pod's cgroup and then waits
// for its volumes.
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

// EnsureExists is called for a pod without a cgroup, that is, once in the life of a
// pod unless the machine restarts.
func (m podMountsAwaiting) EnsureExists(logger klog.Logger, pod *corev1.Pod) error {
	m.node.starting()
	if err := m.PodContainerManager.EnsureExists(logger, pod); err != nil {
		return err
	}
	waitFor(marks(m.node.root, pod))
	return nil
}

// waitFor returns a mountsPeriod after all files exist, or after mountsLimit.
func waitFor(files []string) {
	for deadline := time.Now().Add(mountsLimit - mountsPeriod); len(files) > 0 && time.Now().Before(deadline); {
		files = slices.DeleteFunc(files, func(path string) bool {
			_, err := os.Lstat(path)
			return err == nil
		})
		time.Sleep(mountsPeriod)
	}
}

// marks returns the files that are created last when a pod's volumes are mounted,
// or none if the pod has a volume that leaves no such file.
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
