package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	daemonutil "k8s.io/kubernetes/pkg/controller/daemon/util"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// templates make nodes that do not exist yet.
type templates struct {
	groups map[string]controlapi.RoomGroup
	models map[string]*corev1.Node // by group
	// daemons has one pod of each DaemonSet.
	daemons []*corev1.Pod
}

func newTemplates(r controlapi.RoomRequest, o observed) (templates, error) {
	t := templates{groups: map[string]controlapi.RoomGroup{}, models: map[string]*corev1.Node{}}
	for _, g := range r.Groups {
		i := slices.IndexFunc(o.nodes, func(n *corev1.Node) bool { return n.Name == g.Model })
		if i < 0 || g.ModelSize.CPUs <= 0 || g.ModelSize.MemoryMiB <= 0 || g.ModelSize.DiskMiB <= 0 {
			return t, fmt.Errorf("%w: the model of group %s: no node %q of a known size", controlapi.ErrRefused, g.Name, g.Model)
		}
		t.groups[g.Name], t.models[g.Name] = g, o.nodes[i]
	}
	seen := map[string]bool{}
	for _, pod := range o.pods {
		if owner := daemonSet(pod); owner != nil && !seen[string(owner.UID)] && pod.DeletionTimestamp == nil {
			seen[string(owner.UID)] = true
			t.daemons = append(t.daemons, pod)
		}
	}
	return t, nil
}

// daemonSet returns the DaemonSet that a pod belongs to; nil if there is none.
func daemonSet(pod *corev1.Pod) *metav1.OwnerReference {
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "DaemonSet" {
		return owner
	}
	return nil
}

// node returns a node as it is once it is Ready.
func (t templates) node(n controlapi.RoomNode) (*corev1.Node, error) {
	group, ok := t.groups[n.Group]
	if !ok {
		return nil, fmt.Errorf("%w: node %s: no group %q", controlapi.ErrInvalid, n.Name, n.Group)
	}
	model := t.models[n.Group]
	made := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: maps.Clone(group.Labels)}}
	if made.Labels == nil {
		made.Labels = map[string]string{}
	}
	made.Labels[corev1.LabelHostname] = n.Name
	if n.Zone != "" {
		made.Labels[corev1.LabelTopologyZone] = n.Zone
	}
	for _, same := range []string{corev1.LabelOSStable, corev1.LabelArchStable, corev1.LabelTopologyRegion} {
		if value, ok := model.Labels[same]; ok && made.Labels[same] == "" {
			made.Labels[same] = value
		}
	}
	for _, text := range group.Taints {
		made.Spec.Taints = append(made.Spec.Taints, parseTaint(text))
	}
	made.Status = *model.Status.DeepCopy()
	made.Status.Images = nil
	made.Status.Capacity, made.Status.Allocatable = scaled(model.Status.Capacity, group), scaled(model.Status.Allocatable, group)
	return made, nil
}

// parseTaint reads a valid taint in kubectl's notation.
func parseTaint(text string) corev1.Taint {
	pair, effect, _ := strings.Cut(text, ":")
	key, value, _ := strings.Cut(pair, "=")
	return corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}
}

// scaled returns the resources of a node of the group by those of its model, rounded down.
// Devices are known only from nodes of the same group.
func scaled(model corev1.ResourceList, group controlapi.RoomGroup) corev1.ResourceList {
	all := corev1.ResourceList{}
	for name, quantity := range model {
		switch name {
		case corev1.ResourceCPU:
			all[name] = *resource.NewMilliQuantity(quantity.MilliValue()*int64(group.Size.CPUs)/int64(group.ModelSize.CPUs), resource.DecimalSI)
		case corev1.ResourceMemory:
			all[name] = *resource.NewQuantity(quantity.Value()/int64(group.ModelSize.MemoryMiB)*int64(group.Size.MemoryMiB), resource.BinarySI)
		case corev1.ResourceEphemeralStorage:
			all[name] = *resource.NewQuantity(quantity.Value()/int64(group.ModelSize.DiskMiB)*int64(group.Size.DiskMiB), resource.BinarySI)
		case corev1.ResourcePods:
			all[name] = quantity
		default:
			if group.SameGroup {
				all[name] = quantity
			}
		}
	}
	return all
}

// open adds a node to the current world, with the pods that DaemonSets will create on it.
func (s *Simulator) open(ctx context.Context, t templates, n controlapi.RoomNode) error {
	node, err := t.node(n)
	if err != nil {
		return err
	}
	s.view.now.add(node)
	only := []fwk.NodeInfo{s.view.now.find(n.Name)}
	for _, pod := range t.daemons {
		copied := pod.DeepCopy()
		copied.Spec.NodeName = ""
		copied.Spec.Affinity = daemonutil.ReplaceDaemonSetPodNodeNameNodeAffinity(copied.Spec.Affinity, n.Name)
		_ = s.place(ctx, copied, only)
	}
	return nil
}
