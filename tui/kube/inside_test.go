package kube

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

func TestContainersAreReadInTheirOrder(t *testing.T) {
	begun := metav1.NewTime(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	always := corev1.ContainerRestartPolicyAlways
	pod := &corev1.Pod{
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "migrate"}, {Name: "proxy", RestartPolicy: &always}},
			Containers: []corev1.Container{{
				Name: "web", Image: "web:1", ReadinessProbe: &corev1.Probe{}, LivenessProbe: &corev1.Probe{},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}, {ContainerPort: 53, Protocol: "UDP"}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
				},
			}},
			EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "look"}}},
		},
		Status: corev1.PodStatus{
			InitContainerStatuses: []corev1.ContainerStatus{
				{Name: "migrate", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: begun}}},
				{Name: "proxy", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 3, FinishedAt: begun}}},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: true, RestartCount: 2, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: begun}}}},
		},
	}
	want := []feed.Container{
		{Name: "migrate", Kind: "init", State: "Completed", Ended: true, Since: begun.Time, Requests: "-", Limits: "-"},
		{Name: "proxy", Kind: "sidecar", State: "Error (3)", Since: begun.Time, Requests: "-", Limits: "-"},
		{
			Name: "web", Image: "web:1", State: "Running", Ready: true, Restarts: 2, Since: begun.Time, Ports: []string{"http:8080", "53/UDP"},
			Requests: "100m/64Mi", Limits: "-/128Mi", Probes: "liveness readiness",
		},
		{Name: "look", Kind: "debug", State: "Waiting", Requests: "-", Limits: "-"},
	}
	got := containersOf(pod)
	if len(got) != len(want) {
		t.Fatalf("%d containers: %+v", len(got), got)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
}

func TestWhatBecomesOfAVolumeIsSaid(t *testing.T) {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv-1"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
		},
	}
	if got := fate(pv); got != "Volume pv-1 (1Gi) and its data are deleted." {
		t.Error(got)
	}
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	if got := fate(pv); got != "Volume pv-1 (1Gi) is kept: its reclaim policy is Retain." {
		t.Error(got)
	}
}

func TestPodsThatGoAreCounted(t *testing.T) {
	running := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	for want, pods := range map[string][]corev1.Pod{
		"It has no pods.": nil, "It has one pod (a).": {running}, "It has 3 pods, 2 of them running.": {running, running, {}},
	} {
		if got := podsLost(pods); len(got) != 1 || got[0] != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestASecretThatIsShownIsLegible(t *testing.T) {
	secret := &unstructured.Unstructured{Object: map[string]any{"kind": "Secret", "data": map[string]any{"password": "aG9yc2U=", "key": "//79/A=="}}}
	shown := readable(secret)
	if text, _, _ := unstructured.NestedString(shown.Object, "stringData", "password"); text != "horse" {
		t.Errorf("%v", shown.Object)
	}
	if binary, _, _ := unstructured.NestedString(shown.Object, "data", "key"); binary != "//79/A==" {
		t.Errorf("%v", shown.Object)
	}
	if kept, _, _ := unstructured.NestedString(secret.Object, "data", "password"); kept != "aG9yc2U=" {
		t.Error("the secret itself was changed")
	}
	config := &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "data": map[string]any{"a": "aG9yc2U="}}}
	if readable(config) != config {
		t.Error("a config map is no secret")
	}
}

func TestATreeSaysOfAPodWhatItsTableDoes(t *testing.T) {
	state := func(s corev1.ContainerState) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "web", State: s, Ready: s.Running != nil, RestartCount: 1}}}
	}
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	for want, status := range map[string]corev1.PodStatus{
		"Running":           state(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}),
		"CrashLoopBackOff":  state(waiting("CrashLoopBackOff")),
		"ContainerCreating": state(waiting("ContainerCreating")),
		"OOMKilled":         state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}}),
		"Pending":           {Phase: corev1.PodPending},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web"}}}, Status: status}
		if got := podBranch(object.Ref{}, pod); got.Status != want || got.Healthy != (want == "Running") {
			t.Errorf("%q, healthy: %t; want %q", got.Status, got.Healthy, want)
		}
	}
}

func TestAContainerThatWaitsToBeStartedAgainHasALog(t *testing.T) {
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}
	back := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	ids := map[string]bool{}
	for _, s := range []corev1.ContainerStatus{
		{Name: "web", ContainerID: "1", State: ended},
		{Name: "web", ContainerID: "1", State: back, LastTerminationState: ended, RestartCount: 1},
		{Name: "web", ContainerID: "2", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, LastTerminationState: ended, RestartCount: 1},
	} {
		streams := streamsOf(&corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{s}}}, feed.Logs{})
		if len(streams) != 1 {
			t.Fatalf("%+v: %d logs", s.State, len(streams))
		}
		ids[streams[0].id] = true
	}
	if len(ids) != 2 {
		t.Errorf("two runs of a container are read as %d logs", len(ids))
	}
	image := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}
	if streams := streamsOf(&corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "web", State: image}}}}, feed.Logs{}); len(streams) != 0 {
		t.Error("one that never ran has a log")
	}
}
