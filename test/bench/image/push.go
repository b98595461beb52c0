package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	registryv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/podimage"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

// changedBytes is the size of the layer that changes.
const changedBytes = 5 << 20

// push measures the time from the push of a changed layer until a pod with it is
// Ready. The first push, which includes the other layer, does not count.
func (b *bench) push(ctx context.Context) ([]figure.Figure, error) {
	config, err := clientcmd.BuildConfigFromFlags("", b.skiff.Kubeconfig())
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	var registry registryapi.Status
	if err := b.skiff.Query(ctx, &registry, "registry", "status"); err != nil {
		return nil, err
	}
	var pushes, all []float64
	for round := range b.rounds + 1 {
		ref := fmt.Sprintf("%s/bench/app:%d", registry.Address, round)
		image, err := b.image()
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		if err := upload(ctx, ref, image); err != nil {
			return nil, err
		}
		pushed := time.Since(begun)
		if err := runPod(ctx, client, fmt.Sprintf("app-%d", round), ref); err != nil {
			return nil, err
		}
		if round > 0 {
			pushes, all = append(pushes, pushed.Seconds()), append(all, time.Since(begun).Seconds())
		}
	}
	return []figure.Figure{
		figure.New("pushing a changed layer of 5 MiB, median", "s", median(pushes), 0),
		figure.New("from the push until a pod is Ready, median", "s", median(all), goalPushSeconds),
		figure.New("from the push until a pod is Ready, slowest", "s", slices.Max(all), 0),
	}, nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// image returns an image of the pods' program and a layer that no other image has.
func (b *bench) image() (registryv1.Image, error) {
	content := make([]byte, changedBytes)
	_, _ = rand.Read(content)
	changed, err := oci.Layer([]oci.File{{Path: "content", Mode: 0o644, Data: content}})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(b.base, types.OCIUncompressedLayer), static.NewLayer(changed, types.OCIUncompressedLayer))
	if err != nil {
		return nil, err
	}
	return mutate.Config(image, registryv1.Config{Entrypoint: []string{podimage.Program, sleeping}})
}

func upload(ctx context.Context, to string, image registryv1.Image) error {
	ref, err := name.ParseReference(to)
	if err != nil {
		return err
	}
	return remote.Write(ref, image, remote.WithContext(ctx))
}

// runPod creates a pod, waits until it is Ready, and deletes it.
func runPod(ctx context.Context, client kubernetes.Interface, pod, image string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	watch, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + pod})
	if err != nil {
		return err
	}
	defer watch.Stop()
	grace := int64(0)
	if _, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers:                    []corev1.Container{{Name: "app", Image: image}},
		},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	defer func() { _ = pods.Delete(context.WithoutCancel(ctx), pod, metav1.DeleteOptions{}) }()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("pod %s of %s: %w", pod, image, ctx.Err())
		case event, open := <-watch.ResultChan():
			if !open {
				return fmt.Errorf("watch pod %s: %w", pod, io.ErrUnexpectedEOF)
			}
			changed, ok := event.Object.(*corev1.Pod)
			if ok && slices.ContainsFunc(changed.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			}) {
				return nil
			}
		}
	}
}
