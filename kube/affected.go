package kube

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/drain"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// maxAffected bounds how many pods Affected names.
const maxAffected = 200

// Affected describes what a task changes besides the objects that it names, in one line
// each, so that users can decide. It changes nothing itself.
func (c *Client) Affected(ctx context.Context, task feed.Task) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	var all []string
	for _, ref := range task.Refs {
		lines, err := c.affected(ctx, ref, task)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	return all, nil
}

func (c *Client) affected(ctx context.Context, ref object.Ref, task feed.Task) ([]string, error) {
	switch task.Verb {
	case feed.VerbDrain:
		return c.drained(ctx, ref)
	case feed.VerbCordon:
		pods, err := c.typed.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + ref.Name})
		if err != nil {
			return nil, err
		}
		return []string{"no new pods are scheduled on it", podsAre(len(pods.Items), "keeps running", "keep running")}, nil
	}
	facts, err := c.Facts(ctx, ref)
	if err != nil {
		return nil, err
	}
	switch task.Verb {
	case feed.VerbDelete, feed.VerbKill:
		lines := facts.Loss
		if facts.Owner != nil {
			lines = append(lines, fmt.Sprintf("%s creates it again", facts.Owner))
		}
		return lines, nil
	case feed.VerbScale:
		after, err := strconv.ParseInt(task.Args["replicas"], 10, 32)
		if err != nil || facts.Replicas < 0 {
			return nil, nil
		}
		return []string{scaled(facts.Replicas, after)}, nil
	case feed.VerbRestart, feed.VerbUndo:
		if facts.Replicas < 0 {
			return []string{"its pods are replaced"}, nil
		}
		return []string{podsAre(int(facts.Replicas), "is replaced", "are replaced")}, nil
	}
	return nil, nil
}

// scaled describes what changing a number of replicas does.
func scaled(before, after int64) string {
	if after == before {
		return "the number of pods does not change"
	}
	change := podsAre(int(after-before), "is created", "are created")
	if after < before {
		change = podsAre(int(before-after), "is deleted", "are deleted")
	}
	return fmt.Sprintf("%s (%d now, %d afterwards)", change, before, after)
}

// drained lists the pods that a drain evicts, and warns about those that are lost.
func (c *Client) drained(ctx context.Context, ref object.Ref) ([]string, error) {
	helper := c.drainHelper(ctx, io.Discard)
	list, failures := helper.GetPodsForDeletion(ref.Name)
	if len(failures) > 0 {
		return nil, failures[0]
	}
	return drainLines(list), nil
}

func drainLines(list *drain.PodDeleteList) []string {
	pods := list.Pods()
	lines := []string{"no new pods are scheduled on it", podsAre(len(pods), "is evicted", "are evicted")}
	names := make([]string, 0, len(pods))
	for i := range pods {
		names = append(names, "pod "+oneLine(pods[i].Namespace+"/"+pods[i].Name)+lostWith(&pods[i]))
	}
	slices.Sort(names)
	if len(names) > maxAffected {
		names = append(names[:maxAffected], fmt.Sprintf("and %d more", len(names)-maxAffected))
	}
	return append(lines, names...)
}

// lostWith describes in parentheses what is lost when a pod is evicted; "" if its
// controller replaces everything.
func lostWith(pod *corev1.Pod) string {
	var lost []string
	if metav1.GetControllerOf(pod) == nil {
		lost = append(lost, "not created again: it has no controller")
	}
	if slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil }) {
		lost = append(lost, "data in emptyDir volumes is deleted")
	}
	if len(lost) == 0 {
		return ""
	}
	return " (" + strings.Join(lost, "; ") + ")"
}

// podsAre describes what happens to a number of pods: "2 pods are replaced".
func podsAre(n int, one, many string) string {
	if n == 1 {
		return "1 pod " + one
	}
	return fmt.Sprintf("%d pods %s", n, many)
}
