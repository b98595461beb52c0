package loadbalancer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/internal/runtest"
)

func serviceOf(kind corev1.ServiceType, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(string(kind)), Namespace: "default"},
		Spec:       corev1.ServiceSpec{Type: kind, Ports: ports},
	}
}

func TestOnlyTCPNodePortsAreServedOnTheLoopbackInterface(t *testing.T) {
	got := nodePorts([]*corev1.Service{
		serviceOf(corev1.ServiceTypeClusterIP, corev1.ServicePort{Port: 80}),
		serviceOf(corev1.ServiceTypeLoadBalancer, corev1.ServicePort{NodePort: 30501, Protocol: corev1.ProtocolTCP}, corev1.ServicePort{NodePort: 0}),
		serviceOf(corev1.ServiceTypeNodePort,
			corev1.ServicePort{NodePort: 30500}, corev1.ServicePort{NodePort: 30053, Protocol: corev1.ProtocolUDP}, corev1.ServicePort{NodePort: 30501}),
	})
	if want := []uint16{30500, 30501}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The node's address is 127.0.0.2 here, where the service proxy would serve.
func TestANodePortIsServedWhileItsServiceExists(t *testing.T) {
	port := serviceProxy(t)
	api := fake.NewClientset(serviceOf(corev1.ServiceTypeNodePort, corev1.ServicePort{NodePort: int32(port)}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- NodePorts{API: api, Node: netip.MustParseAddr("127.0.0.2")}.Run(ctx) }()

	awaitAnswer(t, port, "up\n")
	runtest.AwaitWatch(t, api.Actions, "services")
	if err := api.CoreV1().Services("default").Delete(ctx, "nodeport", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, port, "")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// nodePortRetry has to pass, which takes ten seconds; a change of any service that comes
// after the failure was noticed opens the port earlier.
func TestANodePortThatFailsIsServedAgain(t *testing.T) {
	port := serviceProxy(t)
	api := fake.NewClientset(serviceOf(corev1.ServiceTypeNodePort, corev1.ServicePort{NodePort: int32(port)}))
	listeners := make(chan net.Listener, 8)
	ports := NodePorts{API: api, Node: netip.MustParseAddr("127.0.0.2"), listen: func(ctx context.Context, network, address string) (net.Listener, error) {
		l, err := (&net.ListenConfig{}).Listen(ctx, network, address)
		listeners <- l
		return l, err
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ports.Run(ctx) }()

	awaitAnswer(t, port, "up\n")
	if err := (<-listeners).Close(); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, port, "")
	runtest.AwaitWatch(t, api.Actions, "services")
	time.Sleep(100 * time.Millisecond) // the failure is noticed
	if _, err := api.CoreV1().Services("default").Create(ctx, serviceOf(corev1.ServiceTypeLoadBalancer), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, port, "up\n")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// serviceProxy serves a port of the node's address that is free on 127.0.0.1, and returns
// its number.
func serviceProxy(t *testing.T) int {
	t.Helper()
	proxy, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", runtest.FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	go func() {
		for {
			conn, err := proxy.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "up\n")
			_ = conn.Close()
		}
	}()
	return proxy.Addr().(*net.TCPAddr).Port
}

func awaitAnswer(t *testing.T, port int, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(3 * nodePortRetry); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got = ""
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			got, _ = bufio.NewReader(conn).ReadString('\n')
			_ = conn.Close()
		}
		if got == want {
			return
		}
	}
	t.Fatalf("got %q, want %q", got, want)
}
