package simulation

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// world is what scheduler plugins see of a cluster: nodes with the pods on them.
type world struct {
	fwk.SharedLister // answers, with nothing, what the methods below do not
	nodes            []fwk.NodeInfo
}

// newWorld returns a world of nodes, sorted by name, and of the pods that are assigned to them.
func newWorld(nodes []*corev1.Node, pods []*corev1.Pod) *world {
	w := &world{SharedLister: cache.NewEmptySnapshot()}
	for _, node := range nodes {
		w.add(node)
	}
	for _, pod := range pods {
		if info := w.find(pod.Spec.NodeName); info != nil {
			info.AddPod(pod)
		}
	}
	return w
}

// add adds a node.
func (w *world) add(node *corev1.Node) {
	info := framework.NewNodeInfo()
	info.SetNode(node)
	at, _ := slices.BinarySearchFunc(w.nodes, node.Name, compareName)
	w.nodes = slices.Insert(w.nodes, at, fwk.NodeInfo(info))
}

func compareName(info fwk.NodeInfo, name string) int { return strings.Compare(info.Node().Name, name) }

// find returns a node with its pods; nil if there is none.
func (w *world) find(name string) *framework.NodeInfo {
	at, ok := slices.BinarySearchFunc(w.nodes, name, compareName)
	if !ok {
		return nil
	}
	return w.nodes[at].(*framework.NodeInfo)
}

// fork returns a copy without the named node, whose changes do not concern w.
func (w *world) fork(without string) *world {
	copied := &world{SharedLister: w.SharedLister}
	for _, info := range w.nodes {
		if info.Node().Name != without {
			copied.nodes = append(copied.nodes, info.(*framework.NodeInfo).SnapshotConcrete())
		}
	}
	return copied
}

// NodeInfos implements fwk.SharedLister.
func (w *world) NodeInfos() fwk.NodeInfoLister { return lister{w.SharedLister.NodeInfos(), w} }

// StorageInfos implements fwk.SharedLister.
func (w *world) StorageInfos() fwk.StorageInfoLister {
	return storage{w.SharedLister.StorageInfos(), w}
}

type storage struct {
	fwk.StorageInfoLister
	world *world
}

// IsPVCUsedByPods implements fwk.StorageInfoLister.
func (s storage) IsPVCUsedByPods(key string) bool {
	return slices.ContainsFunc(s.world.nodes, func(info fwk.NodeInfo) bool { return info.GetPVCRefCounts()[key] > 0 })
}

type lister struct {
	fwk.NodeInfoLister
	world *world
}

// List implements fwk.NodeInfoLister.
func (l lister) List() ([]fwk.NodeInfo, error) { return l.world.nodes, nil }

// HavePodsWithAffinityList implements fwk.NodeInfoLister.
func (l lister) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	return l.having(fwk.NodeInfo.GetPodsWithAffinity), nil
}

// HavePodsWithRequiredAntiAffinityList implements fwk.NodeInfoLister.
func (l lister) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return l.having(fwk.NodeInfo.GetPodsWithRequiredAntiAffinity), nil
}

func (l lister) having(pods func(fwk.NodeInfo) []fwk.PodInfo) []fwk.NodeInfo {
	var found []fwk.NodeInfo
	for _, info := range l.world.nodes {
		if len(pods(info)) > 0 {
			found = append(found, info)
		}
	}
	return found
}

// Get implements fwk.NodeInfoLister.
func (l lister) Get(name string) (fwk.NodeInfo, error) {
	if info := l.world.find(name); info != nil {
		return info, nil
	}
	return nil, fmt.Errorf("no node named %q", name)
}

// view shows plugins the world that is current.
type view struct {
	fwk.SharedLister // answers, with nothing, what the methods below do not
	now              *world
}

// NodeInfos implements fwk.SharedLister.
func (v *view) NodeInfos() fwk.NodeInfoLister { return v.now.NodeInfos() }

// StorageInfos implements fwk.SharedLister.
func (v *view) StorageInfos() fwk.StorageInfoLister { return v.now.StorageInfos() }
