package gateway

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// rig collects the objects of a cluster whose Services are a, b and idle in the namespaces
// default and other, with the port 80.
type rig struct {
	objects     Objects
	environment Environment
}

func newRig() *rig {
	var services route.Objects
	r := &rig{}
	r.objects.Classes = []*gatewayv1.GatewayClass{{
		ObjectMeta: metav1.ObjectMeta{Name: "skiff"}, Spec: gatewayv1.GatewayClassSpec{ControllerName: names.GatewayController},
	}}
	for _, namespace := range []string{"default", "other"} {
		r.objects.Namespaces = append(r.objects.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"name": namespace}}})
		for i, name := range []string{"a", "b", "idle"} {
			meta := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}}
			services.Services = append(services.Services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
			slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: ptr.To[int32](8080)}}}
			if name != "idle" {
				slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}).String()}}}
			}
			services.Slices = append(services.Slices, slice)
		}
	}
	r.environment = Environment{
		Services: route.New("dev", services), Now: noon, Certificates: map[types.NamespacedName]error{},
		Addresses: map[types.UID]Address{},
	}
	return r
}

// gateway adds a Gateway with an address. listeners is a YAML list.
func (r *rig) gateway(t *testing.T, name, listeners string) *gatewayv1.Gateway {
	t.Helper()
	g := &gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Generation: 3}}
	parse(t, listeners, &g.Spec.Listeners)
	g.Spec.GatewayClassName = "skiff"
	r.objects.Gateways = append(r.objects.Gateways, g)
	r.environment.Addresses[g.UID] = Address{IP: netip.MustParseAddr("192.0.2.1")}
	return g
}

// http adds an HTTPRoute in the namespace default, whose spec is YAML.
func (r *rig) http(t *testing.T, name, spec string) *gatewayv1.HTTPRoute {
	t.Helper()
	o := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(len(r.objects.HTTPRoutes)) * time.Second))}}
	parse(t, spec, &o.Spec)
	r.objects.HTTPRoutes = append(r.objects.HTTPRoutes, o)
	return o
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) table() *Table { return New(r.objects, r.environment) }

// get asks the port 80 of the Gateway web.
func get(host, path string, change ...func(*Request)) Request {
	request := Request{Gateway: types.NamespacedName{Namespace: "default", Name: "web"}, Port: 80, Host: host, Path: path, Method: http.MethodGet, Header: http.Header{}}
	for _, c := range change {
		c(&request)
	}
	return request
}

// first is a source of numbers that are all 0.
func first(int) int { return 0 }

// status returns the status that must be written for an object.
func status[T any](t *testing.T, table *Table, resource, name string) T {
	t.Helper()
	i := slices.IndexFunc(table.Statuses(), func(s Status) bool { return s.Resource == resource && s.Name.Name == name })
	if i < 0 {
		t.Fatalf("no status of %s %s", resource, name)
	}
	return table.Statuses()[i].Content.(T)
}

// reason returns the status and the reason of a condition.
func reason(conditions []metav1.Condition, kind gatewayv1.RouteConditionType) string {
	i := slices.IndexFunc(conditions, func(c metav1.Condition) bool { return c.Type == string(kind) })
	if i < 0 {
		return "missing"
	}
	return string(conditions[i].Status) + " " + conditions[i].Reason
}

var errNoCertificate = errors.New("the secret does not exist")

const plain = `[{name: http, port: 80, protocol: HTTP}]`

func (r *rig) grpc(t *testing.T, name, spec string) {
	t.Helper()
	o := &gatewayv1.GRPCRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	parse(t, spec, &o.Spec)
	r.objects.GRPCRoutes = append(r.objects.GRPCRoutes, o)
}

func (r *rig) tls(t *testing.T, name, spec string) {
	t.Helper()
	o := &gatewayv1.TLSRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	parse(t, spec, &o.Spec)
	r.objects.TLSRoutes = append(r.objects.TLSRoutes, o)
}
