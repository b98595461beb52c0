package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	heartbeatlease "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/plane"
)

// scaleLimit is the time limit of one control plane's load at scale.
const scaleLimit = 40 * time.Minute

// scale measures both control planes with nodes that the control plane itself simulates:
// ours with the part that does it, upstream's with kwok beside it, and the same stages.
func (b *bench) scale(ctx context.Context) (figures []figure.Figure, err error) {
	dir, err := os.MkdirTemp("", "skiff-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	planes := []*plane.Plane{{Name: "skiff", Commands: func(s plane.Site) []plane.Command { return plane.SkiffCommands(b.skiff, s) }}}
	if b.peers != "" {
		stages := filepath.Join(dir, "stages.yaml")
		all := strings.Join([]string{
			nodefast.DefaultNodeInit, heartbeatlease.DefaultNodeHeartbeatWithLease,
			podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete,
		}, "\n---\n")
		if err := os.WriteFile(stages, []byte(all), 0o600); err != nil {
			return nil, err
		}
		planes = append(planes, &plane.Plane{Name: "upstream", Commands: func(s plane.Site) []plane.Command {
			return append(withoutPodRanges(plane.UpstreamCommands(b.peers, s)), kwokCommand(filepath.Join(b.peers, "kwok"), stages, s))
		}})
	}
	loads := make([]loadSample, len(planes))
	for i, p := range planes {
		if loads[i], err = b.loads(ctx, p, filepath.Join(dir, p.Name)); err != nil {
			return nil, fmt.Errorf("%s, at scale: %w", p.Name, err)
		}
	}
	return b.loadFigures(loads), nil
}

// withoutPodRanges keeps upstream's controllers from assigning ranges of pod addresses,
// of which there are only 256, as ours does not assign any to simulated nodes.
func withoutPodRanges(commands []plane.Command) []plane.Command {
	for i, c := range commands {
		commands[i].Args = slices.DeleteFunc(slices.Clone(c.Args), func(arg string) bool { return arg == "--allocate-node-cidrs" })
	}
	return commands
}

// kwokCommand runs kwok's controller with the settings of ours.
func kwokCommand(program, stages string, s plane.Site) plane.Command {
	return plane.Command{Program: program, Args: []string{
		"--kubeconfig=" + s.Kubeconfig("bench"), "--config=" + stages, "--cidr=" + names.SimulatedPods,
		"--manage-nodes-with-label-selector=" + names.SimulatedSelector, "--node-lease-duration-seconds=40",
	}}
}

// startSimulated creates the nodes and waits until they are Ready.
func (b *bench) startSimulated(ctx context.Context, client kubernetes.Interface) error {
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range b.nodes {
		group.Go(func() error {
			_, err := client.CoreV1().Nodes().Create(limited, simulatedNode(fmt.Sprintf("simulated-%04d", i+1)), metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("create the simulated nodes: %w", err)
	}
	return b.awaitNodes(ctx, client)
}

func simulatedNode(name string) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			names.LabelSimulated: names.ValueSimulated, corev1.LabelHostname: name,
		}},
		Spec:   corev1.NodeSpec{Taints: []corev1.Taint{{Key: names.TaintSimulated, Value: names.ValueTaintSimulated, Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{Capacity: room, Allocatable: room},
	}
}
