package kube

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// ownedResources are listed to find the objects that another object owns.
var ownedResources = []string{"deployments.apps", "statefulsets.apps", "daemonsets.apps", "cronjobs.batch", "jobs.batch", "replicasets.apps"}

// maxDepth bounds a chain of owners.
const maxDepth = 8

// tree delivers an object's owners and dependents, again whenever a pod in its
// namespace changes.
func (c *Client) tree(ctx context.Context, need feed.Tree, emit func(any)) {
	watched := feed.Objects{Cluster: c.name, Resource: object.Pods}
	if need.Ref.Namespace != "" {
		watched.Namespaces = []string{need.Ref.Namespace}
	}
	var last feed.Ownership
	c.onChange(ctx, func(ctx context.Context) {
		root, err := c.readTree(ctx, need.Ref)
		next := feed.Ownership{Root: root, Freshness: freshness(err, time.Now())}
		if err != nil {
			next.Root, next.At = last.Root, last.At
		}
		emit(next)
		last = next
	}, watched)
}

// candidates are the objects of a namespace that may belong to the tree, by the
// UID of their owner.
type candidates struct {
	owned map[types.UID][]*unstructured.Unstructured
	pods  map[types.UID][]*corev1.Pod
	all   []corev1.Pod
}

func (c *Client) readTree(ctx context.Context, ref object.Ref) (feed.TreeNode, error) {
	top, err := c.resourceClient(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return feed.TreeNode{}, err
	}
	ref, top = c.topOwner(ctx, ref, top)
	k, err := c.namespaceObjects(ctx, ref)
	if err != nil {
		return feed.TreeNode{}, err
	}
	return c.treeNode(ctx, ref, top, k, 0), nil
}

// topOwner follows the chain of controllers to the topmost one that can be read.
func (c *Client) topOwner(ctx context.Context, ref object.Ref, o *unstructured.Unstructured) (object.Ref, *unstructured.Unstructured) {
	for range maxDepth {
		owner := metav1.GetControllerOf(o)
		if owner == nil || owner.Kind == "Node" {
			break
		}
		above, err := c.owner(ctx, ref, *owner)
		if err != nil {
			break
		}
		next, err := c.resourceClient(above).Get(ctx, above.Name, metav1.GetOptions{})
		if err != nil {
			break
		}
		ref, o = above, next
	}
	return ref, o
}

// owner resolves an owner reference of the object ref.
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
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return object.Ref{}, err
	}
	for _, r := range known {
		if r.Kind == owner.Kind && r.Group == gv.Group {
			above := object.Ref{Cluster: ref.Cluster, Resource: r, Name: owner.Name}
			if r.Namespaced {
				above.Namespace = ref.Namespace
			}
			return above, nil
		}
	}
	return object.Ref{}, fmt.Errorf("the server doesn't have a resource type %s %s", owner.APIVersion, owner.Kind)
}

func (c *Client) namespaceObjects(ctx context.Context, ref object.Ref) (candidates, error) {
	k := candidates{owned: map[types.UID][]*unstructured.Unstructured{}, pods: map[types.UID][]*corev1.Pod{}}
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
	for _, name := range ownedResources {
		r, err := c.resource(ctx, name)
		if err != nil {
			continue
		}
		list, err := c.dynamic.Resource(gvr(r)).Namespace(ref.Namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			continue // without permission to list them, they are not shown
		}
		for i := range list.Items {
			for _, o := range list.Items[i].GetOwnerReferences() {
				k.owned[o.UID] = append(k.owned[o.UID], &list.Items[i])
			}
		}
	}
	return k, nil
}

func (c *Client) treeNode(ctx context.Context, ref object.Ref, o *unstructured.Unstructured, k candidates, depth int) feed.TreeNode {
	status, healthy := workloadStatus(o)
	ref.UID = string(o.GetUID())
	b := feed.TreeNode{Ref: ref, Status: status, Healthy: healthy}
	if ref.Resource.ID() == "pods" {
		for i := range k.all {
			if k.all[i].UID == o.GetUID() {
				return podNode(ref, &k.all[i])
			}
		}
	}
	if depth > maxDepth {
		return b
	}
	for _, child := range k.owned[o.GetUID()] {
		gv := child.GroupVersionKind()
		childRef, err := c.owner(ctx, ref, metav1.OwnerReference{APIVersion: gv.GroupVersion().String(), Kind: gv.Kind, Name: child.GetName()})
		if err != nil || emptyReplicaSet(child) {
			continue
		}
		b.Children = append(b.Children, c.treeNode(ctx, childRef, child, k, depth+1))
	}
	for _, p := range k.podsOf(ref, o) {
		b.Children = append(b.Children, podNode(object.Ref{Cluster: ref.Cluster, Resource: object.Pods, Namespace: p.Namespace, Name: p.Name}, p))
	}
	return b
}

// podsOf returns the pods that an object owns, a service selects or a node runs.
func (k candidates) podsOf(ref object.Ref, o *unstructured.Unstructured) []*corev1.Pod {
	switch ref.Resource.ID() {
	case "services":
		return selectedPods(o, k.all)
	case "nodes":
		all := make([]*corev1.Pod, len(k.all))
		for i := range k.all {
			all[i] = &k.all[i]
		}
		return all
	}
	return k.pods[o.GetUID()]
}

func selectedPods(o *unstructured.Unstructured, pods []corev1.Pod) []*corev1.Pod {
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
