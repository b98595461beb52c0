package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"
)

// Figures of the kubelet that resourceMetrics runs, in cores and bytes.
const (
	usedCores = 0.25
	usedBytes = 64 << 20
)

// resourceMetrics reads the metrics of a node and of its running pod, as an
// administrator and as a user who may view one namespace.
func (c *cluster) resourceMetrics(t *testing.T) {
	const node, pod = "measured", "busy"
	c.measuredNode(t, node, pod, c.kubelet(t, pod))
	client, err := metricsclient.NewForConfig(c.admin)
	if err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "metrics of the node", func(ctx context.Context) error {
		m, err := client.MetricsV1beta1().NodeMetricses().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return asMeasured(m.Usage)
	})
	c.eventually(t, "metrics of the pod", func(ctx context.Context) error {
		m, err := client.MetricsV1beta1().PodMetricses("default").Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(m.Containers) != 1 || m.Containers[0].Name != "c" {
			return fmt.Errorf("containers %v", m.Containers)
		}
		return asMeasured(m.Containers[0].Usage)
	})
	if list, err := client.MetricsV1beta1().PodMetricses("").List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 1 {
		t.Errorf("%v, %v; only one pod is running", list, err)
	}
	c.viewersMetrics(t, pod)
}

// viewersMetrics reads metrics with the rights of upstream's role "view".
func (c *cluster) viewersMetrics(t *testing.T, pod string) {
	t.Helper()
	as := rest.CopyConfig(c.admin)
	as.Impersonate = rest.ImpersonationConfig{UserName: "viewer", Groups: []string{"system:authenticated"}}
	viewer, err := metricsclient.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := viewer.MetricsV1beta1().PodMetricses("default").Get(t.Context(), pod, metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a user without rights reads metrics: %v", err)
	}
	_, err = c.client.RbacV1().RoleBindings("default").Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "viewer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "viewer"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "a viewer reads metrics", func(ctx context.Context) error {
		_, err := viewer.MetricsV1beta1().PodMetricses("default").Get(ctx, pod, metav1.GetOptions{})
		return err
	})
}

// asMeasured compares figures with those of the kubelet.
func asMeasured(usage corev1.ResourceList) error {
	cores, bytes := usage.Cpu().AsApproximateFloat64(), usage.Memory().Value()
	if cores < usedCores*0.9 || cores > usedCores*1.1 || bytes != usedBytes {
		return fmt.Errorf("%.3f cores and %d bytes", cores, bytes)
	}
	return nil
}

// kubelet serves the metrics of a kubelet, to the API server only, and returns its
// port.
func (c *cluster) kubelet(t *testing.T, pod string) (port int) {
	t.Helper()
	pki := filepath.Join(c.dir, "pki")
	certificate, err := tls.LoadX509KeyPair(filepath.Join(pki, "apiserver.crt"), filepath.Join(pki, "apiserver.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ca)
	start := time.Now()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics/resource" {
			http.NotFound(w, r)
			return
		}
		now := time.Now()
		used := usedCores * (1000 + now.Sub(start).Seconds())
		labels := fmt.Sprintf(`{container="c",namespace="default",pod=%q}`, pod)
		fmt.Fprintf(w, "node_cpu_usage_seconds_total %f %d\n", used, now.UnixMilli())
		fmt.Fprintf(w, "node_memory_working_set_bytes %d %d\n", usedBytes, now.UnixMilli())
		fmt.Fprintf(w, "container_cpu_usage_seconds_total%s %f %d\n", labels, used, now.UnixMilli())
		fmt.Fprintf(w, "container_memory_working_set_bytes%s %d %d\n", labels, usedBytes, now.UnixMilli())
		fmt.Fprintf(w, "container_start_time_seconds%s %d\n", labels, start.Add(-1000*time.Second).Unix())
	}))
	server.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// measuredNode creates a node whose kubelet is at a port of loopback, with one pod that
// is running.
func (c *cluster) measuredNode(t *testing.T, node, pod string, port int) {
	t.Helper()
	c.node(t, node, nil)
	status := fmt.Appendf(nil, `{"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":%d}}}}`, port)
	if _, err := c.client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	_, err := c.client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	phase := []byte(`{"status":{"phase":"Running"}}`)
	if _, err := c.client.CoreV1().Pods("default").Patch(t.Context(), pod, types.MergePatchType, phase, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}
