package loadbalancer

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/internal/balancer"
	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func endpoints(ready bool, port int32, addresses ...string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default"},
		Ports:      []discoveryv1.EndpointPort{{Port: &port}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: addresses, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	}
}

func TestOnlyReadyEndpointsAreBackends(t *testing.T) {
	if got, want := ready(endpoints(true, 6443, "10.0.0.2", "10.0.0.1", "10.0.0.2", "nonsense")), []string{"10.0.0.1:6443", "10.0.0.2:6443"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := ready(endpoints(false, 6443, "10.0.0.1")); len(got) != 0 {
		t.Errorf("not ready: %v", got)
	}
}

func TestTheDocumentNamesTheFirstBackends(t *testing.T) {
	got := documented(nodeconfig.Node{ControlPlanes: []nodeconfig.Peer{
		{Name: "control-plane-1", Address: netip.MustParseAddr("192.168.104.11")},
		{Name: "control-plane-2", Address: netip.MustParseAddr("192.168.104.12")},
	}})
	if want := []string{"192.168.104.11:6443", "192.168.104.12:6443"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestBackendsFollowTheControlPlanes(t *testing.T) {
	api := fake.NewClientset(endpoints(true, 6443, "10.0.0.1"))
	b := &balancer.Balancer{}
	b.SetBackends([]string{"10.0.0.9:6443"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Follow(ctx, api, b) }()
	await(t, b, "10.0.0.1:6443")
	runtest.AwaitWatch(t, api.Actions, "endpointslices")
	slices := api.DiscoveryV1().EndpointSlices("default")
	if _, err := slices.Update(ctx, endpoints(true, 6443, "10.0.0.1", "10.0.0.2", "10.0.0.3"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, b, "10.0.0.1:6443", "10.0.0.2:6443", "10.0.0.3:6443")
	if _, err := slices.Update(ctx, endpoints(false, 6443), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil || len(b.Backends()) != 3 {
		t.Errorf("%v, backends %v", err, b.Backends())
	}
}

// A control plane that shuts down leaves the endpoints first and then answers
// the requests that it has received.
func TestConnectionsOfADepartingControlPlaneStayOpen(t *testing.T) {
	server := echo(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer.Balancer{Listener: listener, Log: slog.New(slog.DiscardHandler)}
	b.SetBackends([]string{server.String()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	api := fake.NewClientset(endpoints(true, int32(server.Port()), "127.0.0.1"))
	go func() { _ = b.Run(ctx) }()
	go func() { _ = Follow(ctx, api, b) }()

	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewReader(conn)
	ask := func() {
		t.Helper()
		if _, err := io.WriteString(conn, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := lines.ReadString('\n'); err != nil || line != "hello\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	ask()
	runtest.AwaitWatch(t, api.Actions, "endpointslices")
	for _, address := range []string{"10.0.0.2", "10.0.0.3"} {
		if _, err := api.DiscoveryV1().EndpointSlices("default").Update(ctx, endpoints(true, 6443, address), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		await(t, b, address+":6443")
		ask()
	}
}

func await(t *testing.T, b *balancer.Balancer, want ...string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !slices.Equal(b.Backends(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("backends %v, want %v", b.Backends(), want)
		}
	}
}

func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}
