//go:build kubernetes_before_1_37

package kubelet

import (
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/kubelet/pod"
	"k8s.io/kubernetes/pkg/kubelet/volumemanager"
	"k8s.io/kubernetes/pkg/volume"
	volumetesting "k8s.io/kubernetes/pkg/volume/testing"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/mount-utils"
)

func newVolumeManager(pods pod.Manager, client kubernetes.Interface, plugins *volume.VolumePluginMgr, dir string) volumemanager.VolumeManager {
	return volumemanager.NewVolumeManager(true, "worker-1", pods, alive{}, client, plugins, mount.NewFakeMounter(nil),
		hostutil.NewFakeHostUtil(nil), dir, &record.FakeRecorder{}, volumetesting.NewBlockVolumePathHandler())
}
