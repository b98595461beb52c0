package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	helper "k8s.io/component-helpers/resource"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// Annotations of upstream's cluster-autoscaler, with which users keep it from nodes and pods.
const (
	// annotationNode on a node keeps it.
	annotationNode = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	// annotationPod on a pod keeps its node if it is "false". If it is "true", the pod keeps
	// no node, although it would without the annotation.
	annotationPod = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	// annotationVolumes on a pod names volumes, with commas between them, whose data may be lost.
	annotationVolumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
)

// mostUsed is the part of a node's CPUs or memory that pods may request for it to be
// removed: upstream's default.
const mostUsed = 0.5

// spare reports whether the cluster could do without a node.
func (s *Simulator) spare(ctx context.Context, name string, budgets []*policyv1.PodDisruptionBudget) controlapi.Spare {
	answer := controlapi.Spare{Node: name}
	info := s.view.now.find(name)
	if info == nil {
		answer.Needed = "it is not registered"
		return answer
	}
	if info.Node().Annotations[annotationNode] == "true" {
		answer.Needed = "the annotation " + annotationNode
		return answer
	}
	var moving []*corev1.Pod
	var cpu, memory int64
	for _, on := range info.GetPods() {
		if leaves(on.GetPod()) {
			moving = append(moving, on.GetPod())
			requests := helper.PodRequests(on.GetPod(), helper.PodResourcesOptions{})
			cpu, memory = cpu+requests.Cpu().MilliValue(), memory+requests.Memory().Value()
		}
	}
	slices.SortFunc(moving, func(a, b *corev1.Pod) int { return strings.Compare(title(a), title(b)) })
	answer.Pods = len(moving)
	if answer.Needed = kept(moving, budgets); answer.Needed != "" {
		return answer
	}
	if used := max(part(cpu, info.GetAllocatable().GetMilliCPU()), part(memory, info.GetAllocatable().GetMemory())); used >= mostUsed {
		answer.Needed = fmt.Sprintf("%.0f%% of it is requested", 100*used)
		return answer
	}
	before := s.view.now
	defer func() { s.view.now = before }()
	s.view.now = before.fork(name)
	for _, pod := range moving {
		if s.place(ctx, moved(pod), s.view.now.nodes) != nil {
			answer.Needed = title(pod) + " fits on no other node"
			return answer
		}
	}
	return answer
}

// leaves reports whether a pod has to run elsewhere when its node is removed.
func leaves(pod *corev1.Pod) bool {
	_, static := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return daemonSet(pod) == nil && !static && pod.DeletionTimestamp == nil && priority(pod) >= expendable
}

// moved returns the pod that replaces another one.
func moved(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.Spec.NodeName, pod.Status = "", corev1.PodStatus{}
	return pod
}

func title(pod *corev1.Pod) string { return "pod " + pod.Namespace + "/" + pod.Name }

// kept returns which of the pods must not be evicted, and why; empty if all may.
func kept(pods []*corev1.Pod, budgets []*policyv1.PodDisruptionBudget) string {
	allowed := map[*policyv1.PodDisruptionBudget]int32{}
	for _, pod := range pods {
		covered := covering(pod, budgets)
		if why := stays(pod, len(covered) > 0); why != "" {
			return title(pod) + why
		}
		for _, budget := range covered {
			if allowed[budget]++; allowed[budget] > budget.Status.DisruptionsAllowed {
				return fmt.Sprintf("%s is protected by the disruption budget %s", title(pod), budget.Name)
			}
		}
	}
	return ""
}

// covering returns the disruption budgets of a pod.
func covering(pod *corev1.Pod, budgets []*policyv1.PodDisruptionBudget) []*policyv1.PodDisruptionBudget {
	var found []*policyv1.PodDisruptionBudget
	for _, budget := range budgets {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err == nil && budget.Namespace == pod.Namespace && selector.Matches(labels.Set(pod.Labels)) {
			found = append(found, budget)
		}
	}
	return found
}

// stays returns why a pod must not be evicted, by the rules of upstream's cluster-autoscaler;
// empty if it may.
func stays(pod *corev1.Pod, budgeted bool) string {
	switch safe := pod.Annotations[annotationPod]; {
	case safe == "true":
		return ""
	case safe == "false":
		return " has the annotation " + annotationPod
	case metav1.GetControllerOf(pod) == nil:
		return " has no controller"
	case pod.Namespace == metav1.NamespaceSystem && !budgeted:
		return " is a system pod without a disruption budget"
	}
	if volume := localVolume(pod); volume != "" {
		return " has the local volume " + volume
	}
	return ""
}

// localVolume returns the name of a volume whose data is lost when the pod moves, unless the
// user has said that it may be.
func localVolume(pod *corev1.Pod) string {
	safe := splitList(pod.Annotations[annotationVolumes])
	for _, v := range pod.Spec.Volumes {
		empty := v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory
		if (empty || v.HostPath != nil) && !safe[v.Name] {
			return v.Name
		}
	}
	return ""
}

func splitList(text string) map[string]bool {
	all := map[string]bool{}
	for name := range strings.SplitSeq(text, ",") {
		all[strings.TrimSpace(name)] = true
	}
	return all
}
