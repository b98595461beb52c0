// Package cloud_test tests the control plane's cloud provider against the daemon's
// cloud endpoint, over TLS with the certificates that the host makes.
package cloud_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	cloudprovider "k8s.io/cloud-provider"
	cloudproviderapi "k8s.io/cloud-provider/api"

	controlplanecloud "github.com/skiff-dev/skiff/controlplane/cloud"
	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/cloud"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
)

// instances are the machines of a cluster whose control plane is this process.
type instances struct {
	mu  sync.Mutex // guards all
	all map[string]cloudapi.Instance
}

func (i *instances) Instance(_ context.Context, node string) (cloudapi.Instance, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	instance, ok := i.all[node]
	if !ok {
		return instance, fmt.Errorf("machine %q: %w", node, cloud.ErrNotFound)
	}
	return instance, nil
}

func (i *instances) Admits(name string, address netip.Addr) bool {
	return name == "control-plane-1" && address.IsLoopback()
}

func (i *instances) set(instance cloudapi.Instance) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all[instance.Name] = instance
}

// desired are the load balancers of a cluster. It records what a control plane asks for.
type desired struct {
	*cloud.Balancers

	mu     sync.Mutex // guards latest
	latest cloudapi.LoadBalancer
}

func (d *desired) Ensure(l cloudapi.LoadBalancer, existing bool) (cloudapi.Status, error) {
	status, err := d.Balancers.Ensure(l, existing)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.latest = l
	}
	return status, err
}

func (d *desired) last() cloudapi.LoadBalancer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.latest
}

// site is a running endpoint and what reaches it.
type site struct {
	spec      cluster.Spec
	store     *credentials.Store
	instances *instances
	balancers *desired
	endpoint  netip.AddrPort
	provider  cloudprovider.Interface
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{spec: cluster.Default(), instances: &instances{all: map[string]cloudapi.Instance{}}}
	var err error
	if s.store, err = credentials.OpenStore(filepath.Join(t.TempDir(), "pki"), time.Now()); err != nil {
		t.Fatal(err)
	}
	config := s.store.ServerConfig(credentials.CloudCA, credentials.Cloud)
	log := slog.New(slog.DiscardHandler)
	pool := netip.MustParsePrefix("192.168.104.252/30")
	balancers, err := cloud.OpenBalancers(filepath.Join(t.TempDir(), "f"), pool, log)
	if err != nil {
		t.Fatal(err)
	}
	s.balancers = &desired{Balancers: balancers}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.endpoint = netip.MustParseAddrPort(listener.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- cloud.Serve(ctx, listener, cloud.Config{TLS: config, Instances: s.instances, LoadBalancers: s.balancers, Log: log})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	client, err := cloudapi.NewClient(s.endpoint, s.files(t, "control-plane-1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	s.provider = controlplanecloud.NewProvider(client)
	return s
}

// files writes what the host gives a node, and returns the directory.
func (s *site) files(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range s.of(t, name) {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (s *site) of(t *testing.T, name string) pki.Files {
	t.Helper()
	n, ok := cluster.State{Spec: s.spec, Machines: cluster.Remember(nil, s.spec)}.Find(name)
	if !ok {
		t.Fatalf("no node %s", name)
	}
	files, err := s.store.Current().Node(s.spec, n, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func node(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func service(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.ServiceSpec{
			Type:  corev1.ServiceTypeLoadBalancer,
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}},
		},
	}
}

func TestNodesGetTheMetadataOfTheirMachines(t *testing.T) {
	s := newSite(t)
	v2, _ := s.provider.InstancesV2()
	s.instances.set(cloudapi.Instance{
		Name: "worker-1", ProviderID: "skiff://dev/worker-1", Type: "sandbox-2cpu-2Gi",
		Region: "local", Zone: "local-b", Address: netip.MustParseAddr("192.168.104.21"),
	})
	got, err := v2.InstanceMetadata(t.Context(), node("worker-1"))
	if err != nil {
		t.Fatal(err)
	}
	if got.ProviderID != "skiff://dev/worker-1" || got.InstanceType != "sandbox-2cpu-2Gi" || got.Region != "local" || got.Zone != "local-b" ||
		len(got.NodeAddresses) != 2 || got.NodeAddresses[0].Address != "192.168.104.21" || got.NodeAddresses[1].Address != "worker-1" {
		t.Errorf("metadata %+v", got)
	}
	s.instances.set(cloudapi.Instance{
		Name: "worker-4", ProviderID: "skiff://dev/worker-4",
		Address: netip.MustParseAddr("192.168.104.24"), Address6: netip.MustParseAddr("fd73:6b69:6666::c0a8:6818"),
	})
	got, err = v2.InstanceMetadata(t.Context(), node("worker-4"))
	if err != nil || len(got.NodeAddresses) != 3 || got.NodeAddresses[1].Address != "fd73:6b69:6666::c0a8:6818" {
		t.Errorf("metadata with both families %+v, %v", got, err)
	}
	check := func(name string, wantExists, wantShutdown bool) {
		t.Helper()
		exists, err := v2.InstanceExists(t.Context(), node(name))
		if err != nil || exists != wantExists {
			t.Errorf("%s exists: %v, %v", name, exists, err)
		}
		if !wantExists {
			return
		}
		if shutdown, err := v2.InstanceShutdown(t.Context(), node(name)); err != nil || shutdown != wantShutdown {
			t.Errorf("%s is shut down: %v, %v", name, shutdown, err)
		}
	}
	check("worker-1", true, false)
	s.instances.set(cloudapi.Instance{Name: "worker-1", Shutdown: true})
	check("worker-1", true, true)
	check("worker-2", false, false)
	check("simulated-node", true, false) // of another cloud
	foreign := node("worker-3")
	foreign.Spec.ProviderID = "kwok://worker-3"
	if exists, err := v2.InstanceExists(t.Context(), foreign); err != nil || !exists {
		t.Errorf("a node of another provider exists: %v, %v", exists, err)
	}
}

func TestAServiceGetsAnAddressAndReturnsIt(t *testing.T) {
	s := newSite(t)
	balancers, _ := s.provider.LoadBalancer()
	svc := service("web")
	if _, exists, err := balancers.GetLoadBalancer(t.Context(), "", svc); err != nil || exists {
		t.Fatalf("before: %v, %v", exists, err)
	}
	if err := balancers.UpdateLoadBalancer(t.Context(), "", svc, []*corev1.Node{node("worker-1")}); !errors.Is(err, cloudapi.ErrNotFound) {
		t.Errorf("update before: %v", err)
	}
	status, err := balancers.EnsureLoadBalancer(t.Context(), "", svc, []*corev1.Node{node("worker-2"), node("worker-1")})
	if err != nil {
		t.Fatal(err)
	}
	if in := status.Ingress; len(in) != 1 || in[0].IP != "192.168.104.252" || *in[0].IPMode != corev1.LoadBalancerIPModeVIP {
		t.Errorf("status %+v", status)
	}
	if last := s.balancers.last(); !slices.Equal(last.Nodes, []string{"worker-1", "worker-2"}) || last.Ports[0].NodePort != 30080 {
		t.Errorf("load balancer %+v", last)
	}
	if err := balancers.UpdateLoadBalancer(t.Context(), "", svc, nil); err != nil || len(s.balancers.last().Nodes) > 0 {
		t.Errorf("update: %v, %+v", err, s.balancers.last())
	}
	if got, exists, err := balancers.GetLoadBalancer(t.Context(), "", svc); err != nil || !exists || got.Ingress[0].IP != "192.168.104.252" {
		t.Errorf("get: %+v, %v, %v", got, exists, err)
	}
	for range 2 {
		if err := balancers.EnsureLoadBalancerDeleted(t.Context(), "", svc); err != nil {
			t.Errorf("delete: %v", err)
		}
		if status, err := s.balancers.Get(string(svc.UID)); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("after the deletion: %v, %v", status, err)
		}
	}
}

func TestARefusalNamesTheReasonAndIsNotRetriedSoon(t *testing.T) {
	s := newSite(t)
	balancers, _ := s.provider.LoadBalancer()
	svc := service("web")
	svc.Spec.LoadBalancerIP = "8.8.8.8"
	_, err := balancers.EnsureLoadBalancer(t.Context(), "", svc, nil)
	var retry *cloudproviderapi.RetryError
	if err == nil || errors.As(err, &retry) || !strings.Contains(err.Error(), "192.168.104.252 to 192.168.104.254") {
		t.Errorf("an unusable address: %v", err)
	}
	for i := range 3 {
		if _, err := balancers.EnsureLoadBalancer(t.Context(), "", service(fmt.Sprint("web-", i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := balancers.EnsureLoadBalancer(t.Context(), "", service("one-too-many"), nil); err == nil || !strings.Contains(err.Error(), "no address is left") {
		t.Errorf("one service too many: %v", err)
	}
}

func TestAServiceKeepsItsAddressWhenTheHostForgetsIt(t *testing.T) {
	s := newSite(t)
	balancers, _ := s.provider.LoadBalancer()
	svc := service("web")
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.168.104.254"}}
	status, err := balancers.EnsureLoadBalancer(t.Context(), "", svc, nil)
	if err != nil || status.Ingress[0].IP != "192.168.104.254" {
		t.Errorf("status %+v, %v", status, err)
	}
}

func TestAnEndpointThatDoesNotAnswerIsTriedAgainSoon(t *testing.T) {
	s := newSite(t)
	endpoint := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), runtest.FreePort(t))
	client, err := cloudapi.NewClient(endpoint, s.files(t, "control-plane-1"))
	if err != nil {
		t.Fatal(err)
	}
	balancers, _ := controlplanecloud.NewProvider(client).LoadBalancer()
	_, err = balancers.EnsureLoadBalancer(t.Context(), "", service("web"), nil)
	var retry *cloudproviderapi.RetryError
	if !errors.As(err, &retry) || retry.RetryAfter() != time.Second {
		t.Errorf("error %v", err)
	}
}

func TestWorkersCannotUseTheCloud(t *testing.T) {
	s := newSite(t)
	worker := s.of(t, "worker-1")
	for path := range worker {
		if strings.HasPrefix(path, "cloud-") {
			t.Errorf("a worker gets %s", path)
		}
	}
	controlPlane := s.of(t, "control-plane-1")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(controlPlane[cloudapi.FileAuthority])
	try := func(certificates ...tls.Certificate) error {
		client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: cloudapi.ServerName, Certificates: certificates,
		}}}
		response, err := client.Get("https://" + s.endpoint.String() + cloudapi.PathInstances + "worker-1")
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode == http.StatusForbidden {
			return errors.New("forbidden")
		}
		return nil
	}
	if err := try(); err == nil {
		t.Error("a client without a certificate is admitted")
	}
	for _, files := range []pki.Files{worker, controlPlane} {
		for _, path := range slices.Sorted(maps.Keys(files)) {
			name, isCertificate := strings.CutSuffix(path, ".crt")
			pair, err := tls.X509KeyPair(files[path], files[name+".key"])
			if !isCertificate || err != nil || path == cloudapi.FileCertificate {
				continue
			}
			if err := try(pair); err == nil {
				t.Errorf("a client with the certificate %s is admitted", path)
			}
		}
	}
	pair, err := tls.X509KeyPair(controlPlane[cloudapi.FileCertificate], controlPlane[cloudapi.FileKey])
	if err != nil {
		t.Fatal(err)
	}
	if err := try(pair); err != nil {
		t.Errorf("a control plane is not admitted: %v", err)
	}
}
