package rig

import (
	"context"
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Nodes are the names of the nodes that Fill registers.
var Nodes = []string{"control-plane-1", "worker-1", "worker-2"}

// Namespaces are the namespaces that Fill creates.
var Namespaces = []string{"shop", "observability"}

// Fill creates the objects of a small cluster: nodes, workloads with running and
// failing pods, services, config maps, secrets, jobs and events.
func (s *Server) Fill(ctx context.Context) error {
	steps := []func(context.Context) error{s.nodes, s.namespaces, s.workloads, s.configuration, s.events}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("fill the cluster: %w", err)
		}
	}
	return nil
}

// ignoreExists returns err, or nil if the object exists already.
func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (s *Server) nodes(ctx context.Context) error {
	for i, name := range Nodes {
		labels := map[string]string{"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
		if i == 0 {
			labels["node-role.kubernetes.io/control-plane"] = ""
		}
		node, err := s.Client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		if err != nil {
			return err
		}
		node.Status, node.ResourceVersion = nodeStatus(i), "" // overwrite the changes of controllers
		if _, err := s.Client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return s.renewLeases(ctx)
}

func nodeStatus(i int) corev1.NodeStatus {
	now := metav1.Now()
	resources := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("2Gi"), corev1.ResourcePods: resource.MustParse("5000"),
	}
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return corev1.NodeStatus{
		Capacity: resources, Allocatable: resources,
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
		},
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.104.%d", 11+i*10)}, {Type: corev1.NodeHostName, Address: Nodes[i]}},
		NodeInfo: corev1.NodeSystemInfo{
			KubeletVersion: "v1.36.3", OSImage: "Skiff node", KernelVersion: "6.1.0-cloud-amd64", ContainerRuntimeVersion: "containerd://2.4.2",
			OperatingSystem: "linux", Architecture: "amd64",
		},
	}
}

// renewLeases renews the leases of all nodes once, in place of their kubelets.
func (s *Server) renewLeases(ctx context.Context) error {
	seconds := int32(40)
	for _, name := range Nodes {
		now := metav1.NowMicro()
		lease := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kube-node-lease"},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}
		leases := s.Client.CoordinationV1().Leases("kube-node-lease")
		_, err := leases.Create(ctx, lease, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			patch := fmt.Sprintf(`{"spec":{"renewTime":%q}}`, now.UTC().Format(metav1.RFC3339Micro))
			_, err = leases.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// Kubelets acts as the kubelets of all nodes until ctx ends: it renews leases,
// starts pods that are scheduled and removes those that are deleted.
func (s *Server) Kubelets(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		if n%5 == 0 {
			_ = s.renewLeases(ctx)
			_ = s.markReady(ctx)
		}
		_ = s.Settle(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// markReady reports nodes as Ready again whose leases expired because this
// machine was busy.
func (s *Server) markReady(ctx context.Context) error {
	for i, name := range Nodes {
		node, err := s.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
				node.Status, node.ResourceVersion = nodeStatus(i), "" // overwrite the changes of controllers
				_, err = s.Client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Settle sets the status of every scheduled pod, in place of its kubelet.
func (s *Server) Settle(ctx context.Context) error {
	pods, err := s.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		now := int64(0)
		switch {
		case p.DeletionTimestamp != nil:
			_ = s.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		case p.Spec.NodeName != "" && needsStatus(p):
			p.Status, p.ResourceVersion = podStatus(p, i), ""
			_, _ = s.Client.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
		}
	}
	return nil
}

// needsStatus reports whether a pod needs a new status: it is new, or the node
// controller marked it as not ready.
func needsStatus(p *corev1.Pod) bool {
	if len(p.Status.ContainerStatuses) == 0 {
		return p.Status.Phase == corev1.PodPending
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse {
			return p.Labels["rig"] == "" && p.Status.Phase == corev1.PodRunning
		}
	}
	return false
}

// podStatus returns the status of a running pod, unless the pod's label "rig"
// names a failure.
func podStatus(p *corev1.Pod, i int) corev1.PodStatus {
	now := metav1.Now()
	status := corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now, PodIP: fmt.Sprintf("10.244.%d.%d", 1+i%3, 2+i%250),
		HostIP: "192.168.104.21",
	}
	ready := corev1.ConditionTrue
	for n, c := range p.Spec.Containers {
		state := corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, ContainerID: "containerd://" + string(p.UID) + strconv.Itoa(n),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}
		if n == 0 {
			setFailure(&state, p.Labels["rig"], now)
		}
		if !state.Ready {
			ready = corev1.ConditionFalse
		}
		status.ContainerStatuses = append(status.ContainerStatuses, state)
	}
	if p.Labels["rig"] == "done" {
		status.Phase = corev1.PodSucceeded
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		value := corev1.ConditionTrue
		if kind == corev1.ContainersReady || kind == corev1.PodReady {
			value = ready
		}
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind, Status: value, LastTransitionTime: now})
	}
	return status
}

func setFailure(s *corev1.ContainerStatus, name string, now metav1.Time) {
	ended := &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: now}
	switch name {
	case "crash":
		s.Ready, s.RestartCount = false, 7
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 5m0s restarting failed container"}}
		s.LastTerminationState = corev1.ContainerState{Terminated: ended}
	case "image":
		s.Ready = false
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off pulling image"}}
	case "done":
		s.Ready = false
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: now}}
	}
}

func (s *Server) namespaces(ctx context.Context) error {
	for _, name := range Namespaces {
		_, err := s.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if ignoreExists(err) != nil {
			return err
		}
	}
	return nil
}

func template(app, failure string, containers ...string) corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}}
	if failure != "" {
		t.Labels["rig"] = failure
	}
	names := []string{"http", "metrics"}
	for i, c := range containers {
		t.Spec.Containers = append(t.Spec.Containers, corev1.Container{
			Name: c, Image: "registry.example.com/" + c + ":1.4.2", Ports: []corev1.ContainerPort{{Name: names[min(i, 1)], ContainerPort: int32(8080 + i)}},
			Env: []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}},
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Mi"),
			}},
		})
	}
	return t
}

func (s *Server) workloads(ctx context.Context) error {
	selector := func(app string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	}
	for _, d := range []struct {
		namespace, name, failure string
		replicas                 int32
		containers               []string
	}{
		{"shop", "web", "", 4, []string{"web", "metrics"}}, {"shop", "cart", "", 2, []string{"cart"}},
		{"shop", "payments", "crash", 1, []string{"payments"}}, {"shop", "search", "image", 1, []string{"search"}},
		{"observability", "dashboards", "", 1, []string{"dashboards"}},
	} {
		_, err := s.Client.AppsV1().Deployments(d.namespace).Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: d.name, Labels: map[string]string{"app": d.name}},
			Spec:       appsv1.DeploymentSpec{Replicas: &d.replicas, Selector: selector(d.name), Template: template(d.name, d.failure, d.containers...)},
		}, metav1.CreateOptions{})
		if ignoreExists(err) != nil {
			return err
		}
		_, err = s.Client.CoreV1().Services(d.namespace).Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: d.name},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": d.name}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}}},
		}, metav1.CreateOptions{})
		if ignoreExists(err) != nil {
			return err
		}
	}
	three := int32(3)
	_, err := s.Client.AppsV1().StatefulSets("shop").Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &three, Selector: selector("db"), Template: template("db", "", "postgres"), ServiceName: "db",
			PodManagementPolicy: appsv1.ParallelPodManagement,
		},
	}, metav1.CreateOptions{})
	if ignoreExists(err) != nil {
		return err
	}
	_, err = s.Client.AppsV1().DaemonSets("observability").Create(ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "collector"},
		Spec:       appsv1.DaemonSetSpec{Selector: selector("collector"), Template: template("collector", "", "collector")},
	}, metav1.CreateOptions{})
	if ignoreExists(err) != nil {
		return err
	}
	job := template("backup", "done", "backup")
	job.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err = s.Client.BatchV1().CronJobs("shop").Create(ctx, &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "backup"},
		Spec:       batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: job}}},
	}, metav1.CreateOptions{})
	return ignoreExists(err)
}

func (s *Server) configuration(ctx context.Context) error {
	_, err := s.Client.CoreV1().ConfigMaps("shop").Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Data: map[string]string{"config.yaml": "listen: :8080\ncache: true\nworkers: 4\n"},
	}, metav1.CreateOptions{})
	if ignoreExists(err) != nil {
		return err
	}
	_, err = s.Client.CoreV1().Secrets("shop").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "db-login"}, StringData: map[string]string{"username": "shop", "password": Secret},
	}, metav1.CreateOptions{})
	return ignoreExists(err)
}

// Secret is the password in the secret shop/db-login.
const Secret = "correct-horse-battery"

func (s *Server) events(ctx context.Context) error {
	now := metav1.Now()
	for i, e := range []struct{ kind, reason, name, message string }{
		{"Warning", "BackOff", "payments", "Back-off restarting failed container payments in pod payments"},
		{"Warning", "Failed", "search", `Failed to pull image "registry.example.com/search:1.4.2": not found`},
		{"Normal", "ScalingReplicaSet", "web", "Scaled up replica set web from 2 to 4"},
	} {
		_, err := s.Client.CoreV1().Events("shop").Create(ctx, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: "rig." + strconv.Itoa(i), Namespace: "shop"},
			InvolvedObject: corev1.ObjectReference{Kind: "Deployment", Namespace: "shop", Name: e.name, APIVersion: "apps/v1"},
			Type:           e.kind, Reason: e.reason, Message: e.message, FirstTimestamp: now, LastTimestamp: now, Count: int32(3 + i),
			Source: corev1.EventSource{Component: "rig"},
		}, metav1.CreateOptions{})
		if ignoreExists(err) != nil {
			return err
		}
	}
	return nil
}
