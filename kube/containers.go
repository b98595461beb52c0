package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/kube/feed"
)

// containers delivers a pod's containers, again whenever the pod changes.
func (c *Client) containers(ctx context.Context, need feed.PodContainers, emit func(any)) {
	var last feed.Containers
	c.onChange(ctx, func(ctx context.Context) {
		pod, err := c.typed.CoreV1().Pods(need.Pod.Namespace).Get(ctx, need.Pod.Name, metav1.GetOptions{})
		next := feed.Containers{Freshness: freshness(err, time.Now())}
		if err != nil {
			next.All, next.At = last.All, last.At
		} else {
			next.All = containersOf(pod)
		}
		emit(next)
		last = next
	}, single(need.Pod))
}

// containersOf returns the containers of a pod in start order.
func containersOf(p *corev1.Pod) []feed.Container {
	statuses := map[string]corev1.ContainerStatus{}
	for _, all := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for _, s := range all {
			statuses[s.Name] = s
		}
	}
	var found []feed.Container
	for _, c := range p.Spec.InitContainers {
		kind := "init"
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			kind = "sidecar"
		}
		found = append(found, newContainer(c, statuses[c.Name], kind))
	}
	for _, c := range p.Spec.Containers {
		found = append(found, newContainer(c, statuses[c.Name], ""))
	}
	for _, c := range p.Spec.EphemeralContainers {
		found = append(found, newContainer(corev1.Container(c.EphemeralContainerCommon), statuses[c.Name], "debug"))
	}
	return found
}

func newContainer(c corev1.Container, s corev1.ContainerStatus, kind string) feed.Container {
	found := feed.Container{
		Name: oneLine(c.Name), Image: oneLine(c.Image), Kind: kind, Ready: s.Ready, Restarts: int(s.RestartCount),
		Requests: cpuAndMemory(c.Resources.Requests), Limits: cpuAndMemory(c.Resources.Limits),
	}
	found.State, found.Since = containerState(s)
	found.Ended = s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
	for _, p := range c.Ports {
		text := fmt.Sprint(p.ContainerPort)
		if p.Name != "" {
			text = oneLine(p.Name) + ":" + text
		}
		if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
			text += "/" + string(p.Protocol)
		}
		found.Ports = append(found.Ports, text)
	}
	var probes []string
	for _, probe := range []struct {
		name string
		is   *corev1.Probe
	}{{"liveness", c.LivenessProbe}, {"readiness", c.ReadinessProbe}, {"startup", c.StartupProbe}} {
		if probe.is != nil {
			probes = append(probes, probe.name)
		}
	}
	found.Probes = strings.Join(probes, " ")
	return found
}

// containerState returns a container's state in the terms of kubectl, and since
// when it has it.
func containerState(s corev1.ContainerStatus) (string, time.Time) {
	switch {
	case s.State.Running != nil:
		return "Running", s.State.Running.StartedAt.Time
	case s.State.Terminated != nil:
		state := oneLine(s.State.Terminated.Reason)
		if state == "" {
			state = "Terminated"
		}
		if code := s.State.Terminated.ExitCode; code != 0 {
			state += fmt.Sprintf(" (%d)", code)
		}
		return state, s.State.Terminated.FinishedAt.Time
	case s.State.Waiting != nil && s.State.Waiting.Reason != "":
		return oneLine(s.State.Waiting.Reason), time.Time{}
	}
	return "Waiting", time.Time{}
}

// cpuAndMemory formats requests or limits: "100m/64Mi".
func cpuAndMemory(list corev1.ResourceList) string {
	cpu, hasCPU := list[corev1.ResourceCPU]
	memory, hasMemory := list[corev1.ResourceMemory]
	text := func(amount string, has bool) string {
		if !has {
			return "-"
		}
		return amount
	}
	if !hasCPU && !hasMemory {
		return "-"
	}
	return text(cpu.String(), hasCPU) + "/" + text(memory.String(), hasMemory)
}
