package kube

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// emptyReplicaSet reports whether o is a ReplicaSet of an old revision.
func emptyReplicaSet(o *unstructured.Unstructured) bool {
	desired, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	current, _, _ := unstructured.NestedInt64(o.Object, "status", "replicas")
	return o.GetKind() == "ReplicaSet" && found && desired == 0 && current == 0
}

// workloadStatus returns the status of an object with replicas or completions,
// and whether it is healthy.
func workloadStatus(o *unstructured.Unstructured) (string, bool) {
	number := func(path ...string) (int64, bool) {
		n, ok, _ := unstructured.NestedInt64(o.Object, path...)
		return n, ok
	}
	switch o.GetKind() {
	case "DaemonSet":
		desired, _ := number("status", "desiredNumberScheduled")
		ready, _ := number("status", "numberReady")
		return fmt.Sprintf("%d/%d ready", ready, desired), ready == desired
	case "Job":
		succeeded, _ := number("status", "succeeded")
		failed, _ := number("status", "failed")
		if failed > 0 {
			return fmt.Sprintf("%d succeeded, %d failed", succeeded, failed), false
		}
		return fmt.Sprintf("%d succeeded", succeeded), true
	}
	if desired, ok := number("spec", "replicas"); ok {
		ready, _ := number("status", "readyReplicas")
		return fmt.Sprintf("%d/%d ready", ready, desired), ready == desired
	}
	return "", true
}

// podNode returns a pod with its containers.
func podNode(ref object.Ref, p *corev1.Pod) feed.TreeNode {
	ref.UID = string(p.UID)
	b := feed.TreeNode{Ref: ref, Status: string(p.Status.Phase), Healthy: p.Status.Phase == corev1.PodSucceeded}
	ready := 0
	containers := append(append([]corev1.Container(nil), p.Spec.InitContainers...), p.Spec.Containers...)
	statuses := append(append([]corev1.ContainerStatus(nil), p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...)
	for _, container := range containers {
		child := feed.TreeNode{Ref: ref, Container: container.Name, Status: "waiting"}
		for _, s := range statuses {
			if s.Name == container.Name {
				child.Status, child.Healthy = containerSummary(s)
				b.Status = cmp.Or(failureReason(s), b.Status)
			}
		}
		if child.Healthy {
			ready++
		}
		b.Children = append(b.Children, child)
	}
	b.Healthy = b.Healthy || p.Status.Phase == corev1.PodRunning && ready == len(containers)
	if p.DeletionTimestamp != nil {
		b.Status, b.Healthy = "Terminating", false
	}
	return b
}

// failureReason returns the reason why a container is not running, as the
// server's table shows it for the pod; empty if it is running or succeeded.
func failureReason(s corev1.ContainerStatus) string {
	switch {
	case s.State.Waiting != nil && s.State.Waiting.Reason != "PodInitializing":
		return oneLine(s.State.Waiting.Reason)
	case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
		return oneLine(s.State.Terminated.Reason)
	}
	return ""
}

// containerSummary describes a container's state, and reports whether it is
// healthy.
func containerSummary(s corev1.ContainerStatus) (string, bool) {
	text := ""
	if s.RestartCount > 0 {
		text = fmt.Sprintf(", %d %s", s.RestartCount, map[bool]string{true: "restart", false: "restarts"}[s.RestartCount == 1])
	}
	switch {
	case s.State.Running != nil && s.Ready:
		return "running" + text, true
	case s.State.Running != nil:
		return "running, not ready" + text, false
	case s.State.Terminated != nil:
		return fmt.Sprintf("terminated: %s%s", oneLine(s.State.Terminated.Reason), text), s.State.Terminated.ExitCode == 0
	case s.State.Waiting != nil && s.State.Waiting.Reason != "":
		return oneLine(s.State.Waiting.Reason) + text, false
	}
	return "waiting" + text, false
}
