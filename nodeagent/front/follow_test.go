package front

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func endpoints(ready bool, addresses ...string) *discoveryv1.EndpointSlice {
	port := int32(6443)
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default"},
		Ports:      []discoveryv1.EndpointPort{{Port: &port}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: addresses, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	}
}

func TestBackendsAreTheReadyEndpoints(t *testing.T) {
	at := netip.MustParseAddrPort
	if got, want := backends(endpoints(true, "10.0.0.2", "10.0.0.1", "10.0.0.2", "nonsense")), []netip.AddrPort{at("10.0.0.1:6443"), at("10.0.0.2:6443")}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := backends(endpoints(false, "10.0.0.1")); len(got) != 0 {
		t.Errorf("not ready: %v", got)
	}
}

func TestFrontFollowsTheControlPlanes(t *testing.T) {
	api := fake.NewClientset(endpoints(true, "10.0.0.1"))
	f := &Front{Backends: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:6443")}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Follow(ctx, api) }()
	await := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); len(f.candidates()) != want || f.candidates()[0].Addr().String() == "10.0.0.9"; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("backends %v", f.candidates())
			}
		}
	}
	await(1)
	slices := api.DiscoveryV1().EndpointSlices("default")
	if _, err := slices.Update(ctx, endpoints(true, "10.0.0.1", "10.0.0.2", "10.0.0.3"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(3)
	if _, err := slices.Update(ctx, endpoints(false), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil || len(f.candidates()) != 3 {
		t.Errorf("%v, backends %v", err, f.candidates())
	}
}
