package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// testClients has gRPC's own client call a server in a pod: by name, with and without
// the local authority's certificate, and through the load balancer's addresses.
func testClients(t *testing.T, r *rig, name string, k *kube) {
	r.skiff(t, "image", "load", "--cluster", name, r.image("health.tar"))
	k.apply(t, "clients.yaml")
	k.rollout(t, "deployment/health")
	e := r.entry(t, name)
	host := "health." + k.namespace + "." + name + ".localhost"
	plain, secure := net.JoinHostPort(host, portOf(t, e.plain)), net.JoinHostPort(host, portOf(t, e.secure))
	trusted := credentials.NewTLS(&tls.Config{RootCAs: r.localAuthority(t)})

	r.callsHealth(t, plain, insecure.NewCredentials())
	r.callsHealth(t, secure, trusted)
	untrusting := dialGRPC(t, secure, credentials.NewTLS(&tls.Config{RootCAs: x509.NewCertPool()}))
	if _, err := check(t, untrusting, ""); status.Code(err) != codes.Unavailable {
		t.Errorf("a client that does not trust the authority: %v", err)
	}
	for _, address := range r.awaitHost(t, name, k.namespace, "health", 28090) {
		r.callsHealth(t, address, insecure.NewCredentials())
	}

	// A stream stays open while nothing is sent. When the server is killed, the client
	// gets the status that tells it to try again.
	conn := dialGRPC(t, secure, trusted)
	stream, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("the stream begins with %v, %v", answer, err)
	}
	k.kubectl(t, "scale", "deployment/health", "--replicas=0")
	if answer, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream of a killed server ends with %v, %v", answer, err)
	}
	eventually(t, waitLimit, "a call without pods gets a status", func() error {
		if _, err := check(t, conn, ""); status.Code(err) != codes.Unavailable {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
	k.kubectl(t, "scale", "deployment/health", "--replicas=1")
	k.rollout(t, "deployment/health")
	r.callsHealth(t, secure, trusted)
}

// localAuthority returns the certificates of this host's local authority.
func (r *rig) localAuthority(t *testing.T) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(r.home, "authority/ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("the local authority's file has no certificate")
	}
	return pool
}

// callsHealth waits until a server answers calls, also with a status of its own.
func (r *rig) callsHealth(t *testing.T, address string, trust credentials.TransportCredentials) {
	t.Helper()
	conn := dialGRPC(t, address, trust)
	eventually(t, waitLimit, address+" answers", func() error {
		answer, err := check(t, conn, "")
		if err == nil && answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			return fmt.Errorf("it answers %v", answer)
		}
		return err
	})
	if _, err := check(t, conn, "unknown"); status.Code(err) != codes.NotFound {
		t.Errorf("the health of an unknown service at %s: %v", address, err)
	}
}

func check(t *testing.T, conn *grpc.ClientConn, service string) (*grpc_health_v1.HealthCheckResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
}

// dialGRPC returns a connection to HOST:PORT. Go resolves names below localhost only
// if the system does, so that such a name leads to 127.0.0.1 here.
func dialGRPC(t *testing.T, address string, trust credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	target := host
	if net.ParseIP(host) == nil {
		target = "127.0.0.1"
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(trust), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(target, port))
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
