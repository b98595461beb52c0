package admission

import (
	"context"
	"io"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/discovery"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/controlplane/inventory"
	"github.com/skiff-dev/skiff/internal/names"
)

var machines = inventory.Inventory{
	Subnet: netip.MustParsePrefix("192.168.104.0/24"),
	Addresses: map[string]netip.Addr{
		"worker-1": netip.MustParseAddr("192.168.104.21"),
		"worker-2": netip.MustParseAddr("192.168.104.22"),
	},
}

// write is one request as admission sees it.
type write struct {
	user      string
	resource  schema.GroupResource
	operation admission.Operation
	namespace string
	name      string
	object    runtime.Object
	old       runtime.Object
}

func (w write) validate(t *testing.T) error {
	t.Helper()
	return w.validateIn(t.Context(), t)
}

func (w write) validateIn(ctx context.Context, t *testing.T) error {
	t.Helper()
	plugins := admission.NewPlugins()
	Register(plugins, machines)
	p, err := plugins.NewFromPlugins([]string{PluginName}, emptyConfig{}, knownNodes{t.Context()}, admission.DecoratorFunc(
		func(handler admission.Interface, _ string) admission.Interface { return handler }))
	if err != nil {
		t.Fatal(err)
	}
	a := admission.NewAttributesRecord(w.object, w.old, schema.GroupVersionKind{}, w.namespace, w.name,
		w.resource.WithVersion("v1"), "", w.operation, nil, false, &user.DefaultInfo{Name: w.user})
	if !p.Handles(w.operation) {
		t.Fatalf("operation %s is not handled", w.operation)
	}
	return p.(admission.ValidationInterface).Validate(ctx, a, nil)
}

// knownNodes initializes the plugin with the nodes of an API server.
type knownNodes struct{ ctx context.Context }

func (k knownNodes) Initialize(p admission.Interface) {
	client := fake.NewClientset(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "worker-2"}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.2.0/24"}},
	})
	factory := informers.NewSharedInformerFactory(client, 0)
	p.(initializer.WantsExternalKubeInformerFactory).SetExternalKubeInformerFactory(factory)
	factory.Start(k.ctx.Done())
	factory.WaitForCacheSync(k.ctx.Done())
}

type emptyConfig struct{}

func (emptyConfig) ConfigFor(string) (io.Reader, error) { return nil, nil }

func slice(edit func(*discovery.EndpointSlice)) *discovery.EndpointSlice {
	s := &discovery.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{labelService: names.DNSService}},
		Endpoints:  []discovery.Endpoint{{Addresses: []string{"192.168.104.21"}, NodeName: ptr.To("worker-1")}},
	}
	if edit != nil {
		edit(s)
	}
	return s
}

func TestTheDNSServerOfANodeWritesOnlyItsOwnSlice(t *testing.T) {
	for _, tt := range []struct {
		what string
		edit func(*write)
		ok   bool
	}{
		{"its own slice", func(*write) {}, true},
		{"an update of it", func(w *write) { w.operation, w.old = admission.Update, slice(nil) }, true},
		{"its deletion", func(w *write) { w.operation, w.object, w.old = admission.Delete, nil, slice(nil) }, true},
		{"another node's slice", func(w *write) { w.name = "kube-dns-worker-2" }, false},
		{"deletion of another node's slice", func(w *write) { w.operation, w.object, w.name = admission.Delete, nil, "kube-dns-worker-2" }, false},
		{"deletion of all slices", func(w *write) { w.operation, w.object, w.name = admission.Delete, nil, "" }, false},
		{"another namespace", func(w *write) { w.namespace = "default" }, false},
		{"another resource", func(w *write) { w.resource = schema.GroupResource{Resource: "configmaps"} }, false},
		{"a generated name", func(w *write) { w.name = "" }, false},
		{"another service", func(w *write) {
			w.object = slice(func(s *discovery.EndpointSlice) { s.Labels[labelService] = "metrics-server" })
		}, false},
		{"an endpoint on another node", func(w *write) {
			w.object = slice(func(s *discovery.EndpointSlice) { s.Endpoints[0].NodeName = ptr.To("worker-2") })
		}, false},
		{"an endpoint on no node", func(w *write) {
			w.object = slice(func(s *discovery.EndpointSlice) { s.Endpoints[0].NodeName = nil })
		}, false},
		{"another node's address", func(w *write) {
			w.object = slice(func(s *discovery.EndpointSlice) { s.Endpoints[0].Addresses = []string{"192.168.104.22"} })
		}, false},
		{"an address outside the cluster", func(w *write) {
			w.object = slice(func(s *discovery.EndpointSlice) { s.Endpoints[0].Addresses = []string{"203.0.113.1"} })
		}, false},
	} {
		w := write{
			user: names.OfNode(names.GroupDNS, "worker-1"), resource: endpointSlices, operation: admission.Create,
			namespace: metav1.NamespaceSystem, name: "kube-dns-worker-1", object: slice(nil),
		}
		tt.edit(&w)
		if err := w.validate(t); apierrors.IsForbidden(err) == tt.ok {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

func TestANodeUnknownToTheInventoryPublishesNoOthersAddress(t *testing.T) {
	for address, ok := range map[string]bool{"192.168.104.29": true, "192.168.104.21": false, "203.0.113.1": false} {
		w := write{
			user: names.OfNode(names.GroupDNS, "worker-9"), resource: endpointSlices, operation: admission.Create,
			namespace: metav1.NamespaceSystem, name: "kube-dns-worker-9",
			object: slice(func(s *discovery.EndpointSlice) {
				s.Endpoints[0] = discovery.Endpoint{Addresses: []string{address}, NodeName: ptr.To("worker-9")}
			}),
		}
		if err := w.validate(t); apierrors.IsForbidden(err) == ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func volume(node string, edit func(*core.PersistentVolume)) *core.PersistentVolume {
	now := metav1.NewTime(time.Unix(1, 0))
	v := &core.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: "v", DeletionTimestamp: &now, ResourceVersion: "1",
			Finalizers: []string{"kubernetes.io/pv-protection", names.LocalVolumeFinalizer},
		},
		Spec: core.PersistentVolumeSpec{NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{
			NodeSelectorTerms: []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{
				{Key: "kubernetes.io/hostname", Operator: core.NodeSelectorOpIn, Values: []string{node}},
			}}},
		}}},
	}
	if edit != nil {
		edit(v)
	}
	return v
}

func release(v *core.PersistentVolume) {
	v.Finalizers, v.ResourceVersion = []string{"kubernetes.io/pv-protection"}, ""
}

func TestTheNodeAgentOnlyReleasesVolumesOfItsNode(t *testing.T) {
	alive := func(v *core.PersistentVolume) { v.DeletionTimestamp = nil }
	for _, tt := range []struct {
		what     string
		old, new *core.PersistentVolume
		ok       bool
	}{
		{"release", volume("worker-1", nil), volume("worker-1", release), true},
		{"no change", volume("worker-1", nil), volume("worker-1", nil), false},
		{"release of another node's volume", volume("worker-2", nil), volume("worker-2", release), false},
		{"release of a volume in use", volume("worker-1", alive), volume("worker-1", func(v *core.PersistentVolume) { alive(v); release(v) }), false},
		{"another reclaim policy", volume("worker-1", nil), volume("worker-1", func(v *core.PersistentVolume) {
			release(v)
			v.Spec.PersistentVolumeReclaimPolicy = core.PersistentVolumeReclaimDelete
		}), false},
		{"a label", volume("worker-1", nil), volume("worker-1", func(v *core.PersistentVolume) { release(v); v.Labels = map[string]string{"a": "b"} }), false},
		{"all finalizers", volume("worker-1", nil), volume("worker-1", func(v *core.PersistentVolume) { v.Finalizers = nil }), false},
	} {
		w := write{
			user: names.OfNode(names.GroupVolumes, "worker-1"), resource: volumes, operation: admission.Update,
			name: "v", object: tt.new, old: tt.old,
		}
		if err := w.validate(t); apierrors.IsForbidden(err) == tt.ok {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

func TestAKubeletLabelsItsNodeWithItsOwnRoleOnly(t *testing.T) {
	labelled := func(role string) *core.Node {
		return &core.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{names.LabelRole: role}}}
	}
	for _, tt := range []struct {
		what string
		user string
		old  runtime.Object
		role string
		ok   bool
	}{
		{"its role", "system:node:worker-1", nil, "worker", true},
		{"a control plane's role", "system:node:worker-1", nil, "control-plane", false},
		{"a change of role", "system:node:worker-1", labelled("worker"), "control-plane", false},
		{"no change", "system:node:worker-1", labelled("control-plane"), "control-plane", true},
		{"back to its role", "system:node:worker-1", labelled("control-plane"), "worker", true},
		{"a role of an unknown node", "system:node:stranger", nil, "worker", false},
		{"a change by somebody else", "jane", labelled("worker"), "control-plane", true},
	} {
		w := write{user: tt.user, resource: nodes, operation: admission.Create, name: "worker-1", object: labelled(tt.role), old: tt.old}
		if tt.old != nil {
			w.operation = admission.Update
		}
		if err := w.validate(t); apierrors.IsForbidden(err) == tt.ok {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

func TestAKubeletDoesNotTakeThePodRangeOfAnotherNode(t *testing.T) {
	with := func(ranges ...string) *core.Node { return &core.Node{Spec: core.NodeSpec{PodCIDRs: ranges}} }
	for _, tt := range []struct {
		what     string
		old, new *core.Node
		ok       bool
	}{
		{"registration", nil, with(), true},
		{"registration with its earlier range", nil, with("10.244.1.0/24"), true},
		{"registration with another's range", nil, with("10.244.2.0/24"), false},
		{"registration with part of another's range", nil, with("10.244.2.128/25"), false},
		{"registration with all ranges", nil, with("10.244.0.0/16"), false},
		{"no range", nil, with("all"), false},
		{"no change", with("10.244.2.0/24"), with("10.244.2.0/24"), true},
		{"a change to another's range", with(), with("10.244.2.0/24"), false},
	} {
		w := write{user: "system:node:worker-1", resource: nodes, operation: admission.Create, name: "worker-1", object: tt.new}
		if tt.old != nil {
			w.operation, w.old = admission.Update, tt.old
		}
		if err := w.validate(t); apierrors.IsForbidden(err) == tt.ok {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

// recorder keeps the warnings for a client.
type recorder []string

func (r *recorder) AddWarning(_, text string) { *r = append(*r, text) }

func TestWhoConfiguresDNSAsWithKubeadmIsWarned(t *testing.T) {
	for _, tt := range []struct {
		namespace, name string
		operation       admission.Operation
		want            int
	}{
		{"kube-system", "coredns", admission.Create, 1},
		{"kube-system", "coredns", admission.Update, 1},
		{"kube-system", "coredns", admission.Delete, 0},
		{"kube-system", "coredns-custom", admission.Create, 0},
		{"default", "coredns", admission.Create, 0},
	} {
		var warnings recorder
		w := write{user: "jane", resource: configMaps, operation: tt.operation, namespace: tt.namespace, name: tt.name, object: &core.ConfigMap{}}
		if err := w.validateIn(warning.WithWarningRecorder(t.Context(), &warnings), t); err != nil || len(warnings) != tt.want {
			t.Errorf("%s of %s/%s: warnings %q, %v", tt.operation, tt.namespace, tt.name, warnings, err)
		}
	}
}
