package route

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

func TestBestPortAnswersForService(t *testing.T) {
	udp := named("dns", 53)
	udp.Protocol = corev1.ProtocolUDP
	for name, tt := range map[string]struct {
		ports    []corev1.ServicePort
		want     int32 // 0 for none
		protocol Protocol
	}{
		"only one":               {[]corev1.ServicePort{named("", 5000)}, 5000, HTTP},
		"only one for TCP":       {[]corev1.ServicePort{udp, named("tcp", 5000)}, 5000, HTTP},
		"80":                     {[]corev1.ServicePort{named("metrics", 9100), named("main", 80)}, 80, HTTP},
		"named http":             {[]corev1.ServicePort{named("main", 80), named("http", 3000)}, 3000, HTTP},
		"named http-web":         {[]corev1.ServicePort{named("https", 443), named("http-web", 3000)}, 3000, HTTP},
		"appProtocol":            {[]corev1.ServicePort{named("http", 80), speaking("http", named("a", 9000))}, 9000, HTTP},
		"another protocol":       {[]corev1.ServicePort{speaking("postgresql", named("a", 80)), named("b", 8080)}, 8080, HTTP},
		"http before grpc":       {[]corev1.ServicePort{speaking("kubernetes.io/h2c", named("grpc", 9000)), named("web", 3000)}, 3000, HTTP},
		"grpc before https":      {[]corev1.ServicePort{named("https", 443), named("grpc", 9000)}, 9000, H2C},
		"8080":                   {[]corev1.ServicePort{named("a", 9100), named("b", 8080)}, 8080, HTTP},
		"https if nothing else":  {[]corev1.ServicePort{named("a", 9100), named("https", 8443)}, 8443, HTTPS},
		"443 is https":           {[]corev1.ServicePort{named("", 443)}, 443, HTTPS},
		"grpc by name":           {[]corev1.ServicePort{named("grpc", 9000)}, 9000, H2C},
		"https by appProtocol":   {[]corev1.ServicePort{speaking("HTTPS", named("a", 80))}, 80, HTTPS},
		"websockets":             {[]corev1.ServicePort{speaking("kubernetes.io/ws", named("https", 80))}, 80, HTTP},
		"several without a sign": {[]corev1.ServicePort{named("a", 1000), named("b", 2000)}, 0, ""},
		"none":                   {nil, 0, ""},
	} {
		table := New("dev", new(objects).service("default", "web", tt.ports...).Objects)
		got := table.Resolve(Request{Host: "web.default.dev.localhost", Path: "/"})
		switch {
		case tt.want == 0 && got.Outcome != NoPort, tt.want != 0 && got.Outcome != Forward:
			t.Errorf("%s: %+v", name, got)
		case tt.want != 0 && (got.Backend.Port != tt.want || got.Backend.Protocol != tt.protocol):
			t.Errorf("%s: port %d with %s", name, got.Backend.Port, got.Backend.Protocol)
		}
	}
}

func TestPortCanBeChosenByNameOrNumber(t *testing.T) {
	table := New("dev", new(objects).service("default", "db", named("a", 1000), named("b", 2000), named("2000", 3000)).Objects)
	for label, want := range map[string]int32{"a": 1000, "1000": 1000, "b": 2000, "2000": 3000} {
		got := table.Resolve(Request{Host: label + ".db.default.dev.localhost"})
		if got.Outcome != Forward || got.Backend.Port != want {
			t.Errorf("%s: %+v", label, got)
		}
	}
	got := table.Resolve(Request{Host: "c.db.default.dev.localhost"})
	if got.Outcome != NoPort || !slices.Equal(got.Ports, []string{"a", "b", "2000"}) {
		t.Errorf("an unknown port: %+v", got)
	}
}

func TestEndpointsAreReadyOrTheLastToServe(t *testing.T) {
	ready := discoveryv1.EndpointConditions{Ready: ptr.To(true)}
	starting := discoveryv1.EndpointConditions{Ready: ptr.To(false)}
	leaving := discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true)}
	at := func(address string, c discoveryv1.EndpointConditions) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: c}
	}
	slice := func(endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
			Ports: []discoveryv1.EndpointPort{{Name: ptr.To("metrics"), Port: ptr.To[int32](9000)}, {Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
		}
	}
	six := slice(at("fd00::1", ready))
	six.AddressType = discoveryv1.AddressTypeIPv6
	for name, tt := range map[string]struct {
		slices []*discoveryv1.EndpointSlice
		want   []string
	}{
		"ready":              {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.2", ready), at("10.0.0.1", ready), at("10.0.0.3", starting))}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		"unknown is ready":   {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.1", discoveryv1.EndpointConditions{}))}, []string{"10.0.0.1:8080"}},
		"of several slices":  {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.1", ready)), slice(at("10.0.0.1", ready), at("10.0.0.2", ready))}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		"leaving":            {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.1", leaving), at("10.0.0.2", starting))}, []string{"10.0.0.1:8080"}},
		"ready over leaving": {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.1", leaving), at("10.0.0.2", ready))}, []string{"10.0.0.2:8080"}},
		"another family":     {[]*discoveryv1.EndpointSlice{six}, nil},
		"none":               {nil, nil},
	} {
		if got := endpoints("http", tt.slices); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
