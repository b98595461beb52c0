package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/profile"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/names"
)

func node(name, cpus, memory string, changes ...func(*corev1.Node)) *corev1.Node {
	resources := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpus), corev1.ResourceMemory: resource.MustParse(memory), corev1.ResourcePods: resource.MustParse("110"),
	}
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}, Annotations: map[string]string{}},
		Status:     corev1.NodeStatus{Capacity: resources, Allocatable: resources},
	}
	for _, change := range changes {
		change(n)
	}
	return n
}

// pod returns a pod of a ReplicaSet that waits for room.
func pod(name, cpu string, changes ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}, Annotations: map[string]string{},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(&metav1.ObjectMeta{Name: "web", UID: "web"}, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
		},
		Spec: corev1.PodSpec{
			SchedulerName: corev1.DefaultSchedulerName,
			Containers:    []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}},
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}},
	}
	for _, change := range changes {
		change(p)
	}
	return p
}

func on(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeName, p.Status = node, corev1.PodStatus{} }
}

func annotated(name, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[name] = value }
}

func selecting(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{key: value} }
}

// apart keeps pods of one node or zone.
func apart(topology string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: topology, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		}}}}
	}
}

func simulated(n *corev1.Node) { n.Labels[names.LabelSimulated] = names.ValueSimulated }

func daemon(p *corev1.Pod) {
	p.OwnerReferences[0].Kind, p.OwnerReferences[0].UID = "DaemonSet", "agent"
	p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{p.Spec.NodeName}}}}},
	}}}
}

func volume(source corev1.VolumeSource) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: source}} }
}

// group returns a group of nodes of 2 CPUs, modelled on the node w1, that may get nodes in
// the zones.
func group(name string, cpus int, zones ...string) controlapi.RoomGroup {
	g := controlapi.RoomGroup{
		Name: name, Model: "w1", Labels: map[string]string{"group": name},
		Size: controlapi.RoomSize{CPUs: cpus, MemoryMiB: 1024 * cpus, DiskMiB: 2048}, ModelSize: controlapi.RoomSize{CPUs: 2, MemoryMiB: 2048, DiskMiB: 2048},
	}
	for i, zone := range zones {
		g.Fresh = append(g.Fresh, controlapi.RoomNode{Name: fmt.Sprintf("%s-%d", name, i+2), Group: name, Zone: zone})
	}
	return g
}

func room(t *testing.T, r controlapi.RoomRequest, objects ...runtime.Object) controlapi.Room {
	t.Helper()
	c, err := latest.Default()
	if err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	defer broadcaster.Shutdown()
	running, err := scheduler.New(t.Context(), client, factory, nil, profile.NewRecorderFactory(broadcaster), scheduler.WithProfiles(c.Profiles...))
	if err != nil {
		t.Fatal(err)
	}
	s := New(t.Context(), Settings{Profiles: c.Profiles, Client: client, Informers: factory, Handle: running.Profiles[corev1.DefaultSchedulerName]})
	for range 2 { // nothing changes
		if _, err := s.Room(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := s.Room(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// needed formats needs: "2 worker for a b".
func needed(answer controlapi.Room) string {
	var all []string
	for _, need := range answer.Needs {
		var pods []string
		for _, p := range need.Pods {
			pods = append(pods, p.Name)
		}
		all = append(all, fmt.Sprintf("%d %s for %s", need.Nodes, need.Group, strings.Join(pods, " ")))
	}
	return strings.Join(all, ", ")
}

func TestPodsGetTheNodesOnWhichTheyFit(t *testing.T) {
	worker := group("worker", 2, "a", "b", "a")
	zoned := func(n *corev1.Node) { n.Labels[corev1.LabelTopologyZone] = "a" }
	base := []runtime.Object{node("w1", "2", "2Gi", zoned)}
	full := append(slices.Clone(base), pod("old", "1500m", on("w1")))
	for what, c := range map[string]struct {
		objects []runtime.Object
		groups  []controlapi.RoomGroup
		coming  []controlapi.RoomNode
		want    string
	}{
		"nothing waits":                         {full, []controlapi.RoomGroup{worker}, nil, ""},
		"one fits on a new node":                {append(full, pod("a", "1")), []controlapi.RoomGroup{worker}, nil, "1 worker for a"},
		"it fits on an existing node":           {append(full, pod("a", "400m")), []controlapi.RoomGroup{worker}, nil, ""},
		"it fits on a coming node":              {append(full, pod("a", "1")), []controlapi.RoomGroup{worker}, []controlapi.RoomNode{{Name: "worker-9", Group: "worker"}}, ""},
		"two share a node":                      {append(full, pod("a", "1"), pod("b", "1")), []controlapi.RoomGroup{worker}, nil, "1 worker for a b"},
		"each needs its own":                    {append(full, pod("a", "1500m"), pod("b", "1500m")), []controlapi.RoomGroup{worker}, nil, "2 worker for a b"},
		"never more than there may be":          {append(full, pod("a", "2"), pod("b", "2"), pod("c", "2"), pod("d", "2")), []controlapi.RoomGroup{worker}, nil, "3 worker for a b c"},
		"it is too large":                       {append(full, pod("a", "3")), []controlapi.RoomGroup{worker}, nil, ""},
		"it fits on a larger group":             {append(full, pod("a", "3")), []controlapi.RoomGroup{worker, group("large", 4, "a")}, nil, "1 large for a"},
		"the group that wastes less":            {append(full, pod("a", "1")), []controlapi.RoomGroup{group("large", 4, "a"), worker}, nil, "1 worker for a"},
		"each gets its group":                   {append(full, pod("a", "3"), pod("b", "1", selecting("group", "worker"))), []controlapi.RoomGroup{worker, group("large", 4, "a")}, nil, "1 large for a, 1 worker for b"},
		"a node selector":                       {append(full, pod("a", "1", selecting("disk", "ssd"))), []controlapi.RoomGroup{worker}, nil, ""},
		"spread over nodes":                     {append(base, pod("a", "100m", apart(corev1.LabelHostname)), pod("b", "100m", apart(corev1.LabelHostname))), []controlapi.RoomGroup{worker}, nil, "1 worker for b"},
		"apart by zones":                        {append(base, pod("a", "100m", apart(corev1.LabelTopologyZone), on("w1")), pod("b", "100m", apart(corev1.LabelTopologyZone))), []controlapi.RoomGroup{group("worker", 2, "b")}, nil, "1 worker for b"},
		"a node in the same zone does not help": {append(base, pod("a", "100m", apart(corev1.LabelTopologyZone), on("w1")), pod("b", "100m", apart(corev1.LabelTopologyZone))), []controlapi.RoomGroup{group("worker", 2, "a")}, nil, ""},
		"DaemonSets need room, too":             {append(base, pod("agent-1", "500m", on("w1"), daemon), pod("a", "1600m")), []controlapi.RoomGroup{worker}, nil, ""},
		"a taint keeps it off": {append(full, pod("a", "1")), []controlapi.RoomGroup{func() controlapi.RoomGroup {
			g := worker
			g.Taints = []string{"dedicated=gpu:NoSchedule"}
			return g
		}()}, nil, ""},
		"unimportant pods get none": {append(full, pod("a", "1", func(p *corev1.Pod) { low := int32(-20); p.Spec.Priority = &low })), []controlapi.RoomGroup{worker}, nil, ""},
		"another scheduler's pod":   {append(full, pod("a", "1", func(p *corev1.Pod) { p.Spec.SchedulerName = "other" })), []controlapi.RoomGroup{worker}, nil, ""},
		"a pod that is being deleted": {append(full, pod("a", "1", func(p *corev1.Pod) {
			p.DeletionTimestamp, p.Finalizers = &metav1.Time{}, []string{"example.com/wait"}
		})), []controlapi.RoomGroup{worker}, nil, ""},
	} {
		if got := needed(room(t, controlapi.RoomRequest{Groups: c.groups, Coming: c.coming}, c.objects...)); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

func TestPodsThatFitNowhereAreReportedWithTheReason(t *testing.T) {
	answer := room(t, controlapi.RoomRequest{Groups: []controlapi.RoomGroup{group("worker", 2, "a")}}, node("w1", "2", "2Gi"), pod("a", "3"))
	if len(answer.Unfit) != 1 || answer.Unfit[0].Name != "a" || answer.Unfit[0].Reason != "Insufficient cpu" {
		t.Errorf("%+v", answer)
	}
	answer = room(t, controlapi.RoomRequest{Groups: []controlapi.RoomGroup{group("worker", 2)}}, node("w1", "2", "2Gi"), pod("a", "3"))
	if len(answer.Unfit) != 1 || answer.Unfit[0].Reason != "no group can grow" {
		t.Errorf("%+v", answer)
	}
}

func TestNodesAreSpareOnlyIfAllTheirPodsMayMove(t *testing.T) {
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	memory := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}
	budget := func(allowed int32) runtime.Object {
		return &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
			Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
		}
	}
	system := func(p *corev1.Pod) { p.Namespace = metav1.NamespaceSystem }
	bare := func(p *corev1.Pod) { p.OwnerReferences = nil }
	for what, c := range map[string]struct {
		objects []runtime.Object
		want    string
	}{
		"it is empty":              {nil, ""},
		"only a DaemonSet's pod":   {[]runtime.Object{pod("agent-2", "100m", on("w2"), daemon)}, ""},
		"a pod that fits":          {[]runtime.Object{pod("a", "500m", on("w2"))}, ""},
		"a pod that does not fit":  {[]runtime.Object{pod("a", "900m", on("w2")), pod("b", "1500m", on("w1"))}, "pod default/a fits on no other node"},
		"it is used":               {[]runtime.Object{pod("a", "1", on("w2"))}, "50% of it is requested"},
		"a pod without controller": {[]runtime.Object{pod("a", "100m", on("w2"), bare)}, "pod default/a has no controller"},
		"which is safe":            {[]runtime.Object{pod("a", "100m", on("w2"), bare, annotated(annotationPod, "true"))}, ""},
		"a pod that is not safe":   {[]runtime.Object{pod("a", "100m", on("w2"), annotated(annotationPod, "false"))}, "pod default/a has the annotation " + annotationPod},
		"a local volume":           {[]runtime.Object{pod("a", "100m", on("w2"), volume(empty))}, "pod default/a has the local volume data"},
		"whose data may be lost":   {[]runtime.Object{pod("a", "100m", on("w2"), volume(empty), annotated(annotationVolumes, "other, data"))}, ""},
		"a volume in memory":       {[]runtime.Object{pod("a", "100m", on("w2"), volume(memory))}, ""},
		"a system pod":             {[]runtime.Object{pod("a", "100m", on("w2"), system)}, "pod kube-system/a is a system pod without a disruption budget"},
		"a budget that holds":      {[]runtime.Object{pod("a", "100m", on("w2")), pod("b", "100m", on("w2")), budget(1)}, "pod default/b is protected by the disruption budget web"},
		"a budget that allows it":  {[]runtime.Object{pod("a", "100m", on("w2")), pod("b", "100m", on("w2")), budget(2)}, ""},
		"an annotation of the node": {[]runtime.Object{node("w2", "2", "2Gi", func(n *corev1.Node) { n.Annotations[annotationNode] = "true" })},
			"the annotation " + annotationNode},
		"the only one for its pod": {[]runtime.Object{pod("a", "100m", on("w2"), selecting(corev1.LabelHostname, "w2"))}, "pod default/a fits on no other node"},
		"room only on a simulated node": {[]runtime.Object{pod("a", "900m", on("w2")), pod("b", "1500m", on("w1")), node("simulated-0001", "32", "256Gi", simulated)},
			"pod default/a fits on no other node"},
		"room that others wait for": {[]runtime.Object{pod("a", "700m", on("w2")), pod("b", "1400m")},
			"pod default/a fits on no other node"},
	} {
		objects := append([]runtime.Object{node("w1", "2", "2Gi")}, c.objects...)
		if !slices.ContainsFunc(objects, func(o runtime.Object) bool { n, ok := o.(*corev1.Node); return ok && n.Name == "w2" }) {
			objects = append(objects, node("w2", "2", "2Gi"))
		}
		answer := room(t, controlapi.RoomRequest{Candidates: []string{"w2"}}, objects...)
		if len(answer.Spare) != 1 || answer.Spare[0].Needed != c.want {
			t.Errorf("%s: %+v, want %q", what, answer.Spare, c.want)
		}
	}
}

func TestNodesThatDoNotExistAreNotSpare(t *testing.T) {
	answer := room(t, controlapi.RoomRequest{Candidates: []string{"w9"}}, node("w1", "2", "2Gi"))
	if got := answer.Spare[0].Needed; got != "it is not registered" {
		t.Error(got)
	}
}
