package kube

import (
	"cmp"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// offspring are the resources whose objects other objects own, from the top.
var offspring = []string{"deployments.apps", "statefulsets.apps", "daemonsets.apps", "cronjobs.batch", "jobs.batch", "replicasets.apps"}

// maxClimb bounds a chain of owners.
const maxClimb = 8

// family tells of an object's tree, again whenever a pod beside it changes.
func (c *Client) family(ctx context.Context, need feed.Tree, emit func(any)) {
	watched := feed.Objects{Cluster: c.name, Resource: object.Pods}
	if need.Ref.Namespace != "" {
		watched.Namespaces = []string{need.Ref.Namespace}
	}
	var last feed.Ownership
	c.onChange(ctx, func(ctx context.Context) {
		root, err := c.tree(ctx, need.Ref)
		next := feed.Ownership{Root: root, Freshness: freshness(err, time.Now())}
		if err != nil {
			next.Root, next.At = last.Root, last.At
		}
		emit(next)
		last = next
	}, watched)
}

// kin are the objects of a namespace that may be in the tree.
type kin struct {
	owned map[types.UID][]*unstructured.Unstructured
	pods  map[types.UID][]*corev1.Pod
	all   []corev1.Pod
}

func (c *Client) tree(ctx context.Context, ref object.Ref) (feed.TreeNode, error) {
	top, err := c.at(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return feed.TreeNode{}, err
	}
	ref, top = c.climb(ctx, ref, top)
	k, err := c.kin(ctx, ref)
	if err != nil {
		return feed.TreeNode{}, err
	}
	return c.branch(ctx, ref, top, k, 0), nil
}

// climb follows controllers as far up as they can be read.
func (c *Client) climb(ctx context.Context, ref object.Ref, o *unstructured.Unstructured) (object.Ref, *unstructured.Unstructured) {
	for range maxClimb {
		owner := metav1.GetControllerOf(o)
		if owner == nil || owner.Kind == "Node" {
			break
		}
		above, err := c.owner(ctx, ref, *owner)
		if err != nil {
			break
		}
		next, err := c.at(above).Get(ctx, above.Name, metav1.GetOptions{})
		if err != nil {
			break
		}
		ref, o = above, next
	}
	return ref, o
}

// owner is the object that an owner reference of an object beside ref names.
func (c *Client) owner(ctx context.Context, ref object.Ref, owner metav1.OwnerReference) (object.Ref, error) {
	c.mu.Lock()
	known := c.resources
	c.mu.Unlock()
	if len(known) == 0 {
		var err error
		if known, err = c.discover(ctx); len(known) == 0 {
			return object.Ref{}, err
		}
	}
	for _, r := range known {
		if group, _, _ := cutVersion(owner.APIVersion); r.Kind == owner.Kind && r.Group == group {
			above := object.Ref{Cluster: ref.Cluster, Resource: r, Name: owner.Name}
			if r.Namespaced {
				above.Namespace = ref.Namespace
			}
			return above, nil
		}
	}
	return object.Ref{}, fmt.Errorf("the server doesn't have a resource type %s %s", owner.APIVersion, owner.Kind)
}

func cutVersion(apiVersion string) (group, version string, ok bool) {
	for i := range len(apiVersion) {
		if apiVersion[i] == '/' {
			return apiVersion[:i], apiVersion[i+1:], true
		}
	}
	return "", apiVersion, false
}

func (c *Client) kin(ctx context.Context, ref object.Ref) (kin, error) {
	k := kin{owned: map[types.UID][]*unstructured.Unstructured{}, pods: map[types.UID][]*corev1.Pod{}}
	options := metav1.ListOptions{ResourceVersion: "0"}
	if ref.Resource.ID() == "nodes" {
		options = metav1.ListOptions{FieldSelector: "spec.nodeName=" + ref.Name}
	}
	pods, err := c.typed.CoreV1().Pods(ref.Namespace).List(ctx, options)
	if err != nil {
		return k, err
	}
	k.all = pods.Items
	for i := range k.all {
		for _, o := range k.all[i].OwnerReferences {
			k.pods[o.UID] = append(k.pods[o.UID], &k.all[i])
		}
	}
	if ref.Namespace == "" {
		return k, nil
	}
	for _, name := range offspring {
		r, err := c.resource(ctx, name)
		if err != nil {
			continue
		}
		list, err := c.dynamic.Resource(gvr(r)).Namespace(ref.Namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			continue // what may not be read is not shown
		}
		for i := range list.Items {
			for _, o := range list.Items[i].GetOwnerReferences() {
				k.owned[o.UID] = append(k.owned[o.UID], &list.Items[i])
			}
		}
	}
	return k, nil
}

func (c *Client) branch(ctx context.Context, ref object.Ref, o *unstructured.Unstructured, k kin, depth int) feed.TreeNode {
	status, healthy := workload(o)
	b := feed.TreeNode{Ref: ref, UID: string(o.GetUID()), Status: status, Healthy: healthy}
	if ref.Resource.ID() == "pods" {
		for i := range k.all {
			if k.all[i].UID == o.GetUID() {
				return podBranch(ref, &k.all[i])
			}
		}
	}
	if depth > maxClimb {
		return b
	}
	for _, child := range k.owned[o.GetUID()] {
		gv := child.GroupVersionKind()
		childRef, err := c.owner(ctx, ref, metav1.OwnerReference{APIVersion: gv.GroupVersion().String(), Kind: gv.Kind, Name: child.GetName()})
		if err != nil || emptyReplicaSet(child) {
			continue
		}
		b.Children = append(b.Children, c.branch(ctx, childRef, child, k, depth+1))
	}
	pods := k.pods[o.GetUID()]
	if selected := selectedBy(o, k.all); ref.Resource.ID() == "services" {
		pods = selected
	}
	if ref.Resource.ID() == "nodes" {
		for i := range k.all {
			pods = append(pods, &k.all[i])
		}
	}
	for _, p := range pods {
		b.Children = append(b.Children, podBranch(object.Ref{Cluster: ref.Cluster, Resource: object.Pods, Namespace: p.Namespace, Name: p.Name}, p))
	}
	return b
}

// emptyReplicaSet: one that a newer revision has replaced.
func emptyReplicaSet(o *unstructured.Unstructured) bool {
	wanted, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	now, _, _ := unstructured.NestedInt64(o.Object, "status", "replicas")
	return o.GetKind() == "ReplicaSet" && found && wanted == 0 && now == 0
}

func selectedBy(o *unstructured.Unstructured, pods []corev1.Pod) []*corev1.Pod {
	selector, ok, _ := unstructured.NestedStringMap(o.Object, "spec", "selector")
	if !ok || len(selector) == 0 {
		return nil
	}
	var found []*corev1.Pod
	for i := range pods {
		if labels.SelectorFromSet(selector).Matches(labels.Set(pods[i].Labels)) {
			found = append(found, &pods[i])
		}
	}
	return found
}

// workload is how an object with replicas or completions is.
func workload(o *unstructured.Unstructured) (string, bool) {
	number := func(path ...string) (int64, bool) {
		n, ok, _ := unstructured.NestedInt64(o.Object, path...)
		return n, ok
	}
	switch o.GetKind() {
	case "DaemonSet":
		wanted, _ := number("status", "desiredNumberScheduled")
		ready, _ := number("status", "numberReady")
		return fmt.Sprintf("%d/%d ready", ready, wanted), ready == wanted
	case "Job":
		done, _ := number("status", "succeeded")
		failed, _ := number("status", "failed")
		if failed > 0 {
			return fmt.Sprintf("%d succeeded, %d failed", done, failed), false
		}
		return fmt.Sprintf("%d succeeded", done), true
	}
	if wanted, ok := number("spec", "replicas"); ok {
		ready, _ := number("status", "readyReplicas")
		return fmt.Sprintf("%d/%d ready", ready, wanted), ready == wanted
	}
	return "", true
}

func podBranch(ref object.Ref, p *corev1.Pod) feed.TreeNode {
	b := feed.TreeNode{Ref: ref, UID: string(p.UID), Status: string(p.Status.Phase), Healthy: p.Status.Phase == corev1.PodSucceeded}
	ready := 0
	containers := append(append([]corev1.Container(nil), p.Spec.InitContainers...), p.Spec.Containers...)
	statuses := append(append([]corev1.ContainerStatus(nil), p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...)
	for _, container := range containers {
		below := feed.TreeNode{Ref: ref, Container: container.Name, Status: "waiting"}
		for _, s := range statuses {
			if s.Name == container.Name {
				below.Status, below.Healthy = containerState(s)
				b.Status = cmp.Or(trouble(s), b.Status)
			}
		}
		if below.Healthy {
			ready++
		}
		b.Children = append(b.Children, below)
	}
	b.Healthy = b.Healthy || p.Status.Phase == corev1.PodRunning && ready == len(containers)
	if p.DeletionTimestamp != nil {
		b.Status, b.Healthy = "Terminating", false
	}
	return b
}

// trouble is why a container does not run that should, in the word that the
// server's own table has for its pod; empty if it does.
func trouble(s corev1.ContainerStatus) string {
	switch {
	case s.State.Waiting != nil && s.State.Waiting.Reason != "PodInitializing":
		return line(s.State.Waiting.Reason)
	case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
		return line(s.State.Terminated.Reason)
	}
	return ""
}

func containerState(s corev1.ContainerStatus) (string, bool) {
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
		return fmt.Sprintf("terminated: %s%s", line(s.State.Terminated.Reason), text), s.State.Terminated.ExitCode == 0
	case s.State.Waiting != nil && s.State.Waiting.Reason != "":
		return line(s.State.Waiting.Reason) + text, false
	}
	return "waiting" + text, false
}
