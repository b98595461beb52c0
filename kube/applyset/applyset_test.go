package applyset

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// object returns the object of a manifest.
func object(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// named returns an object of a kind such as "apps/v1 Deployment".
func named(t *testing.T, kind, name string) *unstructured.Unstructured {
	t.Helper()
	version, kind, _ := strings.Cut(kind, " ")
	return object(t, "{apiVersion: "+version+", kind: "+kind+", metadata: {name: "+name+"}}")
}

func TestObjectsAreAppliedBeforeWhatNeedsThem(t *testing.T) {
	want := []string{
		"v1 Namespace", "apiextensions.k8s.io/v1 CustomResourceDefinition", "rbac.authorization.k8s.io/v1 ClusterRole", "v1 ConfigMap", "v1 Service",
		"apps/v1 Deployment", "batch/v1 Job", "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration", "example.com/v1 Boat",
	}
	var objects []*unstructured.Unstructured
	for _, kind := range want {
		objects = append(objects, named(t, kind, "x"))
	}
	slices.Reverse(objects)
	var got []string
	for _, o := range ordered(objects) {
		got = append(got, o.GetAPIVersion()+" "+o.GetKind())
	}
	if !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestASetIsRecordedAsAnApplySet(t *testing.T) {
	set := Set{Name: "web", Namespace: "shop", Objects: []*unstructured.Unstructured{
		named(t, "apps/v1 Deployment", "a"), named(t, "v1 ConfigMap", "b"), object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: kube-system}}"),
	}}
	before := Recorded{Name: "web", Source: "manifests /web", Digest: "x", Kinds: []schema.GroupKind{{Kind: "Secret"}}, Namespaces: []string{"old"}}
	o := before.with(set.placed()).configMap()
	// echo -n skiff-addon-web.kube-system.ConfigMap. | openssl dgst -sha256 -binary | basenc --base64url
	const want = "applyset-4hgs66So-P_woZ3HtJiyusquh_YaWQrrVSY3SXwGwRs-v1"
	if got := o.Labels[labelID]; got != want {
		t.Errorf("ID %q, want %q", got, want)
	}
	for key, want := range map[string]string{
		annotationKinds: "ConfigMap,Deployment.apps,Secret", annotationNamespaces: "old,shop", annotationTooling: "skiff/v1", annotationDigest: "",
	} {
		if got := o.Annotations[key]; got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got := recorded(o); !got.same(before.with(set.placed())) || got.Name != "web" {
		t.Errorf("read %+v", got)
	}
}

func TestAnObjectOfASetIsRecognizedInTheCluster(t *testing.T) {
	wanted := Set{Namespace: "shop", Objects: []*unstructured.Unstructured{named(t, "v1 ConfigMap", "a"), named(t, "v1 Namespace", "b")}}.placed()
	for manifest, want := range map[string]bool{
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}":  true,
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: other}}": false,
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: shop}}":  false,
		"{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: shop}}":     false,
		"{apiVersion: v2, kind: ConfigMap, metadata: {name: a, namespace: shop}}":  true,
		"{apiVersion: v1, kind: Namespace, metadata: {name: b}}":                   true,
	} {
		o := object(t, manifest)
		if got := slices.ContainsFunc(wanted, func(w *unstructured.Unstructured) bool { return sameObject(o, w) }); got != want {
			t.Errorf("%s: %v", manifest, got)
		}
	}
}

func TestObjectsThatStayWhenTheyLeaveTheirSet(t *testing.T) {
	for manifest, want := range map[string]bool{
		"{apiVersion: v1, kind: Namespace, metadata: {name: default}}":                                                   true,
		"{apiVersion: v1, kind: Namespace, metadata: {name: shop}}":                                                      false,
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: default}}":                                                   false,
		"{apiVersion: v1, kind: Secret, metadata: {name: a, annotations: {helm.sh/resource-policy: keep}}}":              true,
		"{apiVersion: v1, kind: Secret, metadata: {name: a, annotations: {helm.sh/resource-policy: something-strange}}}": false,
	} {
		if got := kept(object(t, manifest)); got != want {
			t.Errorf("%s: %v", manifest, got)
		}
	}
}

func TestReadiness(t *testing.T) {
	for _, test := range []struct {
		manifest, message string
		ready             bool
		problem           string
	}{
		{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", "", true, ""},
		{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, deletionTimestamp: \"2026-01-01T00:00:00Z\"}}", "being deleted", false, ""},
		{"{apiVersion: v1, kind: Namespace, metadata: {name: a}, status: {phase: Active}}", "", true, ""},
		{"{apiVersion: v1, kind: Namespace, metadata: {name: a}, status: {phase: Terminating}}", "phase Terminating", false, ""},
		{"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, generation: 2}, spec: {replicas: 2}, status: {observedGeneration: 1}}", "Waiting for deployment spec update to be observed", false, ""},
		{"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 2}, status: {replicas: 2, updatedReplicas: 2, availableReplicas: 1}}", "1 of 2 updated replicas are available", false, ""},
		{"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 1}, status: {replicas: 1, updatedReplicas: 1, availableReplicas: 1}}", "", true, ""},
		{"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 1, paused: true}}", "", true, ""},
		{"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, status: {conditions: [{type: Progressing, status: \"False\", reason: ProgressDeadlineExceeded}]}}", "", false, "deployment.apps a: deployment \"a\" exceeded its progress deadline"},
		{"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {updateStrategy: {type: OnDelete}}}", "", true, ""},
		{"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {updateStrategy: {type: RollingUpdate}}, status: {desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}}", "1 of 2 updated pods are available", false, ""},
		{"{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {replicas: 1, updateStrategy: {type: RollingUpdate}}, status: {readyReplicas: 0, observedGeneration: 1}}", "Waiting for 1 pods to be ready", false, ""},
		{"{apiVersion: batch/v1, kind: Job, metadata: {name: a}}", "not complete yet", false, ""},
		{"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {suspend: true}}", "", true, ""},
		{"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {conditions: [{type: Complete, status: \"True\"}]}}", "", true, ""},
		{"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {conditions: [{type: Failed, status: \"True\", message: too often}]}}", "", false, "job.batch a failed: too often"},
		{"{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {phase: Pending}}", "phase Pending", false, ""},
		{"{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {phase: Running, conditions: [{type: Ready, status: \"True\"}]}}", "", true, ""},
		{"{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {phase: Failed, message: evicted}}", "", false, "pod a failed: evicted"},
		{"{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ClusterIP}}", "", true, ""},
		{"{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: LoadBalancer}}", "no address yet", false, ""},
		{"{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}", "", true, ""},
		{"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}}", "not established yet", false, ""},
		{"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}, status: {conditions: [{type: Established, status: \"True\"}]}}", "", true, ""},
		{"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}, status: {conditions: [{type: NamesAccepted, status: \"False\", message: taken}]}}", "", false, "customresourcedefinition.apiextensions.k8s.io a: taken"},
		{"{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a}}", "not available yet", false, ""},
	} {
		message, ok, err := ready(object(t, test.manifest))
		problem := ""
		if err != nil {
			problem, message = err.Error(), ""
		}
		if ok {
			message = ""
		}
		if message != test.message || ok != test.ready || problem != test.problem {
			t.Errorf("%s: %q, %v, %q", test.manifest, message, ok, problem)
		}
	}
}
