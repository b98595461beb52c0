package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/podimage"
)

const podName = "folders"

// podLimit is how long the pod may take.
const podLimit = 10 * time.Minute

// runPod runs the pod that measures and returns what it printed.
func (b *bench) runPod(ctx context.Context) ([]byte, error) {
	config, err := clientcmd.BuildConfigFromFlags("", b.skiff.Kubeconfig())
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	core := client.CoreV1()
	for _, class := range []string{"host", "standard"} {
		if _, err := core.PersistentVolumeClaims(metav1.NamespaceDefault).Create(ctx, claim(class), metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create claim: %w", err)
		}
	}
	pods := core.Pods(metav1.NamespaceDefault)
	if _, err := pods.Create(ctx, b.pod(), metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create pod: %w", err)
	}
	ended, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	var phase corev1.PodPhase
	for phase != corev1.PodSucceeded && phase != corev1.PodFailed {
		if err := pause.For(ended, time.Second); err != nil {
			return nil, fmt.Errorf("wait for the pod, which is %s: %w", phase, err)
		}
		pod, err := pods.Get(ctx, podName, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("wait for the pod: %w", err)
		}
		phase = pod.Status.Phase
	}
	printed, err := pods.GetLogs(podName, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err == nil && phase == corev1.PodFailed {
		err = fmt.Errorf("the pod failed: %s", printed)
	}
	return printed, err
}

func claim(class string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: class},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}},
		},
	}
}

func (b *bench) pod() *corev1.Pod {
	claimed := func(class string) corev1.VolumeSource {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: class}}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: podName},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: podName, Image: imageName, ImagePullPolicy: corev1.PullNever,
				Command: append([]string{podimage.Program}, b.work.args()...),
				VolumeMounts: []corev1.VolumeMount{
					{Name: "folder", MountPath: folderPath}, {Name: "claim", MountPath: claimPath}, {Name: "disk", MountPath: diskPath},
				},
			}},
			Volumes: []corev1.Volume{
				{Name: "folder", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: folderPath}}},
				{Name: "claim", VolumeSource: claimed("host")},
				{Name: "disk", VolumeSource: claimed("standard")},
			},
		},
	}
}
