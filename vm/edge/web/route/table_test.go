package route

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func object(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// serviceObject returns a Service and a slice with one ready endpoint for it.
func serviceObject(namespace, name string, ports ...corev1.ServicePort) (*corev1.Service, *discoveryv1.EndpointSlice) {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: object(namespace, name+"-1"), AddressType: discoveryv1.AddressTypeIPv4}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
	slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.244.1.1"}}}
	for _, p := range ports {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: ptr.To(p.Name), Port: ptr.To(p.Port + 1000)})
	}
	return &corev1.Service{ObjectMeta: object(namespace, name), Spec: corev1.ServiceSpec{Ports: ports}}, slice
}

type objects struct{ Objects }

func (o *objects) service(namespace, name string, ports ...corev1.ServicePort) *objects {
	service, slice := serviceObject(namespace, name, ports...)
	o.Services, o.Slices = append(o.Services, service), append(o.Slices, slice)
	return o
}

func named(name string, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, Protocol: corev1.ProtocolTCP}
}

func speaking(appProtocol string, p corev1.ServicePort) corev1.ServicePort {
	p.AppProtocol = &appProtocol
	return p
}

func TestOutcomesOfNames(t *testing.T) {
	o := new(objects).service("default", "web", named("", 80)).service("default", "idle", named("", 80))
	o.Slices = o.Slices[:1]
	outside, _ := serviceObject("default", "outside", named("", 80))
	outside.Spec.Type = corev1.ServiceTypeExternalName
	o.Services = append(o.Services, outside)
	table := New("dev", o.Objects)
	for host, want := range map[string]Outcome{
		"web.default.dev.localhost":     Forward,
		"idle.default.dev.localhost":    NoEndpoints,
		"outside.default.dev.localhost": External,
		"wep.default.dev.localhost":     NoService,
		"web.other.dev.localhost":       NoService,
		"default.dev.localhost":         NoRule,
		"dev.localhost":                 Overview,
		"a.b.c.d.dev.localhost":         NoRule,
		"web.default.ci.localhost":      NoRule,
		"example.com":                   NoRule,
		"":                              NoRule,
	} {
		if got := table.Resolve(Request{Host: host, Path: "/"}); got.Outcome != want {
			t.Errorf("%q: got %+v, want %s", host, got, want)
		}
	}
	if got, want := table.Names(), []string{"idle.default.dev.localhost", "web.default.dev.localhost"}; !slices.Equal(got, want) {
		t.Errorf("names %v", got)
	}
}

func TestMachinesCannotUseNamesOfServices(t *testing.T) {
	table := New("dev", new(objects).service("default", "web", named("", 80)).Objects)
	for _, host := range []string{"web.default.dev.localhost", "dev.localhost"} {
		if got := table.Resolve(Request{Host: host, Path: "/", Inside: true}); got.Outcome != NoRule {
			t.Errorf("%s: %+v", host, got)
		}
	}
}
