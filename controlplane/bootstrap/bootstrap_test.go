package bootstrap

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/fake"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// all returns the objects of a cluster with everything.
func all(t *testing.T) []Object {
	t.Helper()
	objects, err := Objects(settings)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

var settings = Settings{DNSAddress: netip.MustParseAddr("10.96.0.10"), GatewayAPI: true, Runtimes: nodeconfig.Runtimes()}

func empty() *fake.FakeDynamicClient { return fake.NewSimpleDynamicClient(runtime.NewScheme()) }

func writes(c *fake.FakeDynamicClient) (n int) {
	for _, a := range c.Actions() {
		if a.GetVerb() != "get" {
			n++
		}
	}
	return n
}

func TestEveryObjectIsCreatedOnce(t *testing.T) {
	c := empty()
	for range 2 {
		for _, o := range all(t) {
			if err := ensure(context.Background(), c, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := writes(c), len(all(t))+len(obsolete()); got != want {
		t.Fatalf("%d writes for %d objects", got, want)
	}
}

func TestAChangedRoleIsCorrectedAndAStorageClassIsNot(t *testing.T) {
	for _, tt := range []struct {
		name      string
		object    Object
		corrected bool
		field     string
	}{
		{"role", clusterRole(names.UserLabeller, rule("", read(), "nodes")), true, "rules"},
		{"storage class", hostClass(), false, "provisioner"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := empty()
			if err := ensure(t.Context(), c, tt.object); err != nil {
				t.Fatal(err)
			}
			changed, err := c.Resource(tt.object.Resource).Get(t.Context(), tt.object.Object.GetName(), metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			changed.Object[tt.field] = "changed"
			changed.SetAnnotations(map[string]string{"user": "added"})
			if _, err := c.Resource(tt.object.Resource).Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := ensure(t.Context(), c, tt.object); err != nil {
				t.Fatal(err)
			}
			got, _ := c.Resource(tt.object.Resource).Get(t.Context(), tt.object.Object.GetName(), metav1.GetOptions{})
			if corrected := got.Object[tt.field] != "changed"; corrected != tt.corrected {
				t.Errorf("corrected: %v", corrected)
			}
			if got.GetAnnotations()["user"] != "added" {
				t.Error("what a user added is gone")
			}
		})
	}
}

func TestOnlyAdministratorsMayDoEverything(t *testing.T) {
	for _, o := range all(t) {
		u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		rules, _, _ := unstructured.NestedSlice(u, "rules")
		for _, r := range rules {
			for _, field := range []string{"verbs", "resources", "apiGroups"} {
				values, _, _ := unstructured.NestedStringSlice(r.(map[string]any), field)
				for _, v := range values {
					if v == "*" || v == "secrets" {
						t.Errorf("%s may %s %s", o.Object.GetName(), field, v)
					}
				}
			}
		}
		if role, _, _ := unstructured.NestedString(u, "roleRef", "name"); role == "cluster-admin" && o.Object.GetName() != names.GroupClusterAdmins {
			t.Errorf("%s binds cluster-admin", o.Object.GetName())
		}
	}
}

func TestAClusterWithoutDNSHasNoDNSService(t *testing.T) {
	without := settings
	without.DNSAddress = netip.Addr{}
	for _, s := range []Settings{settings, without} {
		objects, err := Objects(s)
		if err != nil {
			t.Fatal(err)
		}
		found := slices.ContainsFunc(objects, func(o Object) bool {
			return o.Resource.Resource == "services" && o.Object.GetName() == names.DNSService
		})
		if found != s.DNSAddress.IsValid() {
			t.Errorf("%+v: service found: %t", s, found)
		}
	}
}

func TestDNSServiceUsesTheServerOfTheSameNode(t *testing.T) {
	service := dnsService(settings.DNSAddress).Object.(*corev1.Service)
	if service.Spec.ClusterIP != "10.96.0.10" || service.Spec.Selector != nil || *service.Spec.InternalTrafficPolicy != corev1.ServiceInternalTrafficPolicyLocal {
		t.Fatalf("%+v", service.Spec)
	}
}

func TestRuntimeClassesFollowTheRuntimes(t *testing.T) {
	classes := func(c *fake.FakeDynamicClient) string {
		var found []string
		for _, o := range runtimeClasses(nil) {
			if _, err := c.Resource(o.Resource).Get(t.Context(), o.Object.GetName(), metav1.GetOptions{}); err == nil {
				found = append(found, o.Object.GetName())
			}
		}
		return strings.Join(found, " ")
	}
	c := empty()
	own := runtimeClasses(nodeconfig.RuntimesNamed([]string{"crun"}))[0]
	own.Object.SetLabels(nil) // a user's
	for _, step := range []struct {
		runtimes []string
		before   []Object
		want     string
	}{
		{nil, nil, ""},
		{[]string{"gvisor"}, nil, "gvisor"},
		{[]string{"gvisor", "crun"}, nil, "crun gvisor"},
		{[]string{"crun"}, nil, "crun"},
		{nil, nil, ""},
		{nil, []Object{own}, "crun"},
	} {
		for _, o := range append(step.before, runtimeClasses(nodeconfig.RuntimesNamed(step.runtimes))...) {
			if err := ensure(t.Context(), c, o); err != nil {
				t.Fatal(err)
			}
		}
		if got := classes(c); got != step.want {
			t.Errorf("runtimes %q: classes %q, want %q", step.runtimes, got, step.want)
		}
	}
}

func TestBindingsOfEarlierReleasesAreDeleted(t *testing.T) {
	c := empty()
	old := clusterBinding("skiff:approve-node-client", group("system:bootstrappers"), "system:certificates.k8s.io:certificatesigningrequests:nodeclient")
	if err := ensure(t.Context(), c, old); err != nil {
		t.Fatal(err)
	}
	for _, o := range all(t) {
		if err := ensure(t.Context(), c, o); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Resource(old.Resource).Get(t.Context(), old.Object.GetName(), metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the binding is still there: %v", err)
	}
}

func TestDefinitionsOfTheGatewayAPIYieldToUsers(t *testing.T) {
	const name = "httproutes.gateway.networking.k8s.io"
	for _, tt := range []struct {
		name, manager, version, channel string
		replaced                        bool
	}{
		{"an earlier release", manager, "v1.5.0", "standard", true},
		{"a later release", manager, "v99.0.0", "standard", false},
		{"another channel", manager, "v1.5.0", "experimental", false},
		{"a user's own", "", "v1.5.0", "standard", false},
	} {
		c, o := empty(), definition(name)
		if err := ensure(t.Context(), c, o); err != nil {
			t.Fatal(err)
		}
		crd, err := c.Resource(o.Resource).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || crd.GetLabels()[managedBy] != manager {
			t.Fatalf("%v, %v", crd.GetLabels(), err)
		}
		if _, found, _ := unstructured.NestedSlice(crd.Object, "spec", "versions"); !found {
			t.Fatal("it has no versions")
		}
		crd.SetLabels(map[string]string{managedBy: tt.manager})
		crd.SetAnnotations(map[string]string{"gateway.networking.k8s.io/bundle-version": tt.version, "gateway.networking.k8s.io/channel": tt.channel})
		if _, err := c.Resource(o.Resource).Update(t.Context(), crd, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := ensure(t.Context(), c, o); err != nil {
			t.Fatal(err)
		}
		crd, _ = c.Resource(o.Resource).Get(t.Context(), name, metav1.GetOptions{})
		if replaced := crd.GetAnnotations()["gateway.networking.k8s.io/bundle-version"] != tt.version; replaced != tt.replaced {
			t.Errorf("%s: replaced %v", tt.name, replaced)
		}
	}
}

func TestContains(t *testing.T) {
	type m = map[string]any
	type l = []any
	for _, tt := range []struct {
		name             string
		existing, wanted any
		want             bool
	}{
		{"same", m{"a": int64(1)}, m{"a": int64(1)}, true},
		{"more exists", m{"a": int64(1), "b": "x"}, m{"a": int64(1)}, true},
		{"missing", m{}, m{"a": int64(1)}, false},
		{"other value", m{"a": int64(2)}, m{"a": int64(1)}, false},
		{"other kind", "a", m{}, false},
		{"defaults inside a list", m{"p": l{m{"port": int64(53), "targetPort": int64(53)}}}, m{"p": l{m{"port": int64(53)}}}, true},
		{"longer list", l{"a", "b"}, l{"a"}, false},
		{"list of another kind", m{}, l{"a"}, false},
	} {
		if got := contains(tt.existing, tt.wanted); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestCloudControllersChangeOnlyNodesAndStatusOfServices(t *testing.T) {
	writable := map[string][]string{
		"nodes": {"delete", "patch", "update"}, "nodes/status": {"patch"}, "services/status": {"patch"},
		"events": {"create", "patch", "update"},
	}
	got := map[string][]string{}
	for _, r := range controlPlaneRoles()[names.UserCloudController] {
		if !slices.Equal(r.APIGroups, []string{""}) {
			t.Errorf("groups %v", r.APIGroups)
		}
		for _, resource := range r.Resources {
			for _, verb := range r.Verbs {
				if !slices.Contains(read(), verb) {
					got[resource] = append(got[resource], verb)
				}
			}
			slices.Sort(got[resource])
		}
	}
	if !reflect.DeepEqual(got, writable) {
		t.Errorf("may write %v, want %v", got, writable)
	}
}

func TestTheReaderOfMetricsMayDoNothingElse(t *testing.T) {
	want := map[string]string{
		"/pods": "get list watch", "/nodes/metrics": "get", "/metrics": "get",
		"monitoring.coreos.com/servicemonitors": "get list watch", "monitoring.coreos.com/podmonitors": "get list watch",
	}
	got := map[string]string{}
	for _, r := range hostRoles()[names.UserMetrics] {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				got[group+"/"+resource] = strings.Join(r.Verbs, " ")
			}
		}
		for _, path := range r.NonResourceURLs {
			got[path] = strings.Join(r.Verbs, " ")
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("may %v, want %v", got, want)
	}
	for _, o := range all(t) {
		binding, ok := o.Object.(*rbacv1.ClusterRoleBinding)
		if ok && slices.Contains(binding.Subjects, user(names.UserMetrics)) && binding.RoleRef.Name != names.UserMetrics {
			t.Errorf("bound to %s", binding.RoleRef.Name)
		}
	}
}

// Controllers and scheduler wait for the leader, and the leader for its rights.
func TestTheLeadersRightsComeFirst(t *testing.T) {
	first := 0
	for i, o := range all(t) {
		if o.Object.GetName() == names.UserLeader {
			if i != first {
				t.Errorf("%s is object %d", o.Resource.Resource, i)
			}
			first++
		}
	}
	if first != 4 {
		t.Errorf("%d objects of the leader", first)
	}
}
