package kube

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skiff-dev/skiff/kube/object"
)

// countedResources are counted before a namespace is deleted.
var countedResources = []object.Resource{
	object.Pods, object.Deployments, object.StatefulSets, object.DaemonSets, object.Jobs, object.CronJobs, object.Services, object.Claims,
}

// deletionLoss lists what is lost with an object besides its pods, one per line.
// What cannot be read is left out.
func (c *Client) deletionLoss(ctx context.Context, ref object.Ref, o *unstructured.Unstructured) []string {
	switch ref.Resource.ID() {
	case "namespaces":
		var counts []string
		for _, r := range countedResources {
			if n := c.count(ctx, r, ref.Name); n > 0 {
				name := r.Name
				if n == 1 {
					name = r.Singular
				}
				counts = append(counts, fmt.Sprintf("%d %s", n, name))
			}
		}
		if len(counts) == 0 {
			return []string{"It contains no workloads, services or claims."}
		}
		return []string{"It contains " + strings.Join(counts, ", ") + "."}
	case "persistentvolumeclaims":
		volume, _, _ := unstructured.NestedString(o.Object, "spec", "volumeName")
		if volume == "" {
			return []string{"It has no volume yet."}
		}
		pv, err := c.typed.CoreV1().PersistentVolumes().Get(ctx, volume, metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return []string{volumeOutcome(pv)}
	case "persistentvolumes":
		pv, err := c.typed.CoreV1().PersistentVolumes().Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil || pv.Spec.ClaimRef == nil {
			return nil
		}
		return []string{"It is bound to claim " + oneLine(pv.Spec.ClaimRef.Namespace+"/"+pv.Spec.ClaimRef.Name) + ".", volumeOutcome(pv)}
	case "nodes":
		pods, err := c.typed.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + ref.Name, ResourceVersion: "0"})
		if err != nil {
			return nil
		}
		return append(podCount(pods.Items), "Its machine keeps running, and its kubelet may register it again.")
	case "customresourcedefinitions.apiextensions.k8s.io":
		if r, err := c.resource(ctx, ref.Name); err == nil {
			return []string{fmt.Sprintf("%d objects of this type are deleted with it.", c.count(ctx, r, ""))}
		}
	}
	return nil
}

// volumeOutcome describes what happens to a volume's data when its claim is
// deleted.
func volumeOutcome(pv *corev1.PersistentVolume) string {
	size := pv.Spec.Capacity[corev1.ResourceStorage]
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		return fmt.Sprintf("Volume %s (%s) and its data are deleted.", oneLine(pv.Name), size.String())
	}
	return fmt.Sprintf("Volume %s (%s) is kept: its reclaim policy is %s.", oneLine(pv.Name), size.String(), pv.Spec.PersistentVolumeReclaimPolicy)
}

// count returns the number of objects of a resource. It reads only one of them.
func (c *Client) count(ctx context.Context, r object.Resource, namespace string) int64 {
	list, err := c.dynamic.Resource(gvr(r)).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 0
	}
	n := int64(len(list.Items))
	if rest := list.GetRemainingItemCount(); rest != nil {
		n += *rest
	}
	return n
}

// podCount describes how many pods are deleted, and how many of them are running.
func podCount(pods []corev1.Pod) []string {
	running := 0
	for i := range pods {
		if pods[i].Status.Phase == corev1.PodRunning {
			running++
		}
	}
	switch len(pods) {
	case 0:
		return []string{"It has no pods."}
	case 1:
		return []string{fmt.Sprintf("It has one pod (%s).", pods[0].Name)}
	}
	return []string{fmt.Sprintf("It has %d pods, %d of them running.", len(pods), running)}
}
