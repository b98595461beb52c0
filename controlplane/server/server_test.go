package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/controlplane/server"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
)

// childSettings names the environment variable that makes this test program a
// control plane: upstream's controllers can be started once in a process, and a
// control plane is started twice here.
const childSettings = "SKIFF_TEST_CONTROLPLANE"

func TestMain(m *testing.M) {
	encoded := os.Getenv(childSettings)
	if encoded == "" {
		os.Exit(m.Run())
	}
	var s server.Settings
	err := json.Unmarshal([]byte(encoded), &s)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = server.Run(ctx, s, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// cluster is a control plane that runs natively, on loopback.
type cluster struct {
	settings server.Settings
	dir      string
	process  *exec.Cmd
	ended    chan error
	admin    *rest.Config
	client   *kubernetes.Clientset
}

func start(t *testing.T, dir string) *cluster {
	t.Helper()
	c := &cluster{dir: dir}
	node, err := server.ReadNode(filepath.Join(dir, "node.json"))
	if err != nil {
		if node, err = servertest.Write(dir, netip.MustParseAddr("127.0.0.1")); err != nil {
			t.Fatal(err)
		}
	}
	ports := freePorts(t, 3)
	c.settings = server.Settings{
		Node: node, PKIDir: filepath.Join(dir, "pki"), StateDir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"), PrivateDir: dir,
		Port: ports[0], EtcdClientPort: ports[1], EtcdPeerPort: ports[2],
	}
	if err := os.MkdirAll(c.settings.LogDir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.run(t)
	c.admin = &rest.Config{
		Host:            fmt.Sprintf("https://127.0.0.1:%d", ports[0]),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "pki/ca.crt"), CertFile: filepath.Join(dir, "admin.crt"), KeyFile: filepath.Join(dir, "admin.key")},
		QPS:             -1,
	}
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the API is ready", func(ctx context.Context) error {
		select {
		case err := <-c.ended:
			c.ended <- err
			t.Fatalf("the control plane ended: %v", err)
		default:
		}
		_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			_, err = c.client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{})
		}
		return err
	})
	return c
}

// run starts the control plane's process; its log is shown if the test fails.
func (c *cluster) run(t *testing.T) {
	t.Helper()
	encoded, err := json.Marshal(c.settings)
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	c.process, c.ended = exec.Command(os.Args[0]), make(chan error, 1)
	c.process.Env = append(os.Environ(), childSettings+"="+string(encoded))
	c.process.Stderr = log
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- c.process.Wait() }()
	t.Cleanup(func() {
		_ = c.process.Process.Kill()
		if t.Failed() {
			t.Log(log)
		}
	})
}

// stop asks the process to end as an init does, and returns how it ended.
func (c *cluster) stop() error {
	_ = c.process.Process.Signal(syscall.SIGTERM)
	return <-c.ended
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// eventually tries until it works; the limit only ends a test that hangs.
func (c *cluster) eventually(t *testing.T, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not seen: %s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestControlPlane takes one control plane through its life, since each start
// takes seconds.
func TestControlPlane(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir)
	t.Run("serves the version it is made of", c.version)
	t.Run("lets strangers see its health only", c.strangers)
	t.Run("speaks TLS 1.3 and nothing older", c.tls13)
	t.Run("makes pods of a deployment", c.deployment)
	t.Run("approves a kubelet's own certificate and denies another's", c.kubeletCertificates)
	t.Run("labels a node with its role", c.roleLabel)
	t.Run("cuts a pod range for a node", c.podRange)
	t.Run("provisions a local volume on the chosen node", c.volume)
	t.Run("applies on the server's side", c.apply)
	t.Run("describes built-in and custom types", c.openAPI)
	t.Run("keeps secrets encrypted", c.secrets)
	t.Run("writes an audit log", c.audit)
	if err := c.stop(); err != nil {
		t.Fatalf("stopped with %v", err)
	}
	c = start(t, dir)
	t.Run("is what it was after a restart", c.restarted)
	if err := c.stop(); err != nil {
		t.Fatalf("stopped with %v the second time", err)
	}
	t.Run("leaves no private files", func(t *testing.T) {
		if left, _ := filepath.Glob(filepath.Join(dir, "controlplane-*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func (c *cluster) restarted(t *testing.T) {
	if got, err := c.client.CoreV1().Secrets("default").Get(t.Context(), "hidden", metav1.GetOptions{}); err != nil || len(got.Data) != 1 {
		t.Errorf("secret: %v, %v", got, err)
	}
	replicas := []byte(`{"spec":{"replicas":1}}`)
	if _, err := c.client.AppsV1().Deployments("default").Patch(t.Context(), "web", types.MergePatchType, replicas, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "controllers work again", func(ctx context.Context) error {
		pods, err := c.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil || len(pods.Items) != 1 {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		return nil
	})
}

func (c *cluster) version(t *testing.T) {
	v, err := c.client.Discovery().ServerVersion()
	if err != nil || v.Major != "1" || v.Minor == "" {
		t.Fatalf("%+v, %v", v, err)
	}
}

func (c *cluster) strangers(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // a stranger has no CA
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/healthz": 200,
		"/": 401, "/api": 401, "/version": 401, "/metrics": 401, "/openapi/v2": 401, "/apis": 401,
		"/api/v1/secrets": 401, "/api/v1/namespaces/default/pods": 401, "/readyz/etcd": 401,
	} {
		for _, token := range []string{"", "wrong"} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, c.admin.Host+path, nil)
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if token != "" && response.StatusCode != 401 {
				t.Errorf("%s with a wrong token: %d", path, response.StatusCode)
			}
			if token == "" && response.StatusCode != want {
				t.Errorf("%s: %d, not %d", path, response.StatusCode, want)
			}
		}
	}
}

func (c *cluster) tls13(t *testing.T) {
	address := strings.TrimPrefix(c.admin.Host, "https://")
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) //nolint:gosec // to be refused
	if err == nil {
		conn.Close()
		t.Fatal("TLS 1.2 is spoken")
	}
}

func (c *cluster) deployment(t *testing.T) {
	labels := map[string]string{"app": "web"}
	replicas := int32(3)
	_, err := c.client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "three pods that the scheduler looked at", func(ctx context.Context) error {
		pods, err := c.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil || len(pods.Items) != 3 {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		for _, p := range pods.Items {
			if len(p.Status.Conditions) == 0 {
				return fmt.Errorf("pod %s was not looked at", p.Name)
			}
			if seconds := p.Spec.Tolerations[0].TolerationSeconds; seconds == nil || *seconds != 30 {
				t.Fatalf("pod stays on a lost node for %v seconds", seconds)
			}
		}
		return nil
	})
}

func (c *cluster) node(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	_, err := c.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func (c *cluster) kubeletCertificates(t *testing.T) {
	c.node(t, servertest.Name, nil)
	user := "system:node:" + servertest.Name
	as := rest.CopyConfig(c.admin)
	as.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:nodes", "system:authenticated"}}
	kubelet, err := kubernetes.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		dns  string
		want certificatesv1.RequestConditionType
	}{
		"own":     {servertest.Name, certificatesv1.CertificateApproved},
		"foreign": {"kubernetes.default.svc", certificatesv1.CertificateDenied},
	} {
		_, err := kubelet.CertificatesV1().CertificateSigningRequests().Create(t.Context(), &certificatesv1.CertificateSigningRequest{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: certificatesv1.CertificateSigningRequestSpec{
				SignerName: certificatesv1.KubeletServingSignerName, Request: request(t, user, tt.dns),
				Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c.eventually(t, name+" is "+string(tt.want), func(ctx context.Context) error {
			r, err := c.client.CertificatesV1().CertificateSigningRequests().Get(ctx, name, metav1.GetOptions{})
			if err != nil || len(r.Status.Conditions) == 0 || r.Status.Conditions[0].Type != tt.want {
				return fmt.Errorf("%v, %w", r.Status.Conditions, err)
			}
			if tt.want == certificatesv1.CertificateApproved && len(r.Status.Certificate) == 0 {
				return fmt.Errorf("approved and not signed")
			}
			return nil
		})
	}
}

func request(t *testing.T, user, dns string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: user, Organization: []string{"system:nodes"}},
		DNSNames: []string{dns}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func (c *cluster) roleLabel(t *testing.T) {
	c.node(t, "worker-1", map[string]string{"skiff.dev/role": "worker", corev1.LabelHostname: "worker-1"})
	c.eventually(t, "the role's label", func(ctx context.Context) error {
		n, err := c.client.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		if err == nil {
			if _, ok := n.Labels["node-role.kubernetes.io/worker"]; !ok {
				err = fmt.Errorf("labels %v", n.Labels)
			}
		}
		return err
	})
}

func (c *cluster) podRange(t *testing.T) {
	c.eventually(t, "a /24 of the pods' range", func(ctx context.Context) error {
		n, err := c.client.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		if err != nil {
			return err
		}
		p, err := netip.ParsePrefix(n.Spec.PodCIDR)
		if err != nil || p.Bits() != 24 || !c.settings.Node.Kubernetes.PodCIDR.Contains(p.Addr()) {
			return fmt.Errorf("pod range %q, %w", n.Spec.PodCIDR, err)
		}
		return nil
	})
}

func (c *cluster) volume(t *testing.T) {
	claims := c.client.CoreV1().PersistentVolumeClaims("default")
	_, err := claims.Create(t.Context(), &corev1.PersistentVolumeClaim{
		// The annotation is the scheduler's, which has no ready node here.
		ObjectMeta: metav1.ObjectMeta{Name: "data", Annotations: map[string]string{"volume.kubernetes.io/selected-node": "worker-1"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var name string
	c.eventually(t, "the claim is bound", func(ctx context.Context) error {
		claim, err := claims.Get(ctx, "data", metav1.GetOptions{})
		if err != nil || claim.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("claim is %s, %w", claim.Status.Phase, err)
		}
		name = claim.Spec.VolumeName
		return nil
	})
	v, err := c.client.CoreV1().PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil || v.Spec.Local == nil || v.Spec.Local.Path != "/var/lib/skiff/volumes/"+name {
		t.Fatalf("%+v, %v", v.Spec, err)
	}
	// No agent runs here: once its node is gone the volume may go as well.
	if err := claims.Delete(t.Context(), "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the volume waits for its node's agent", func(ctx context.Context) error {
		v, err := c.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
		if err == nil && v.DeletionTimestamp == nil {
			err = fmt.Errorf("volume is %s", v.Status.Phase)
		}
		return err
	})
	if err := c.client.CoreV1().Nodes().Delete(t.Context(), "worker-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the volume of a lost node is gone", func(ctx context.Context) error {
		_, err := c.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("volume is there, %w", err)
	})
}

func (c *cluster) apply(t *testing.T) {
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"a":"1"}}`
	m, err := c.client.CoreV1().ConfigMaps("default").Patch(t.Context(), "applied", types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: "test"})
	if err != nil || m.Data["a"] != "1" || len(m.ManagedFields) != 1 || m.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Fatalf("%+v, %v", m, err)
	}
}

const boats = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"boats.example.com"},
"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"boats","singular":"boat","kind":"Boat"},
"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"length":{"type":"integer"}}}}}}}]}}`

func (c *cluster) openAPI(t *testing.T) {
	raw := c.client.Discovery().RESTClient()
	if err := raw.Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").SetHeader("Content-Type", "application/json").Body([]byte(boats)).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/openapi/v3/apis/apps/v1":                   "io.k8s.api.apps.v1.Deployment",
		"/openapi/v3/apis/example.com/v1":            "com.example.v1.Boat",
		"/openapi/v3/apis/apiregistration.k8s.io/v1": "APIService",
		"/openapi/v3/apis/apiextensions.k8s.io/v1":   "CustomResourceDefinition",
	} {
		c.eventually(t, path, func(ctx context.Context) error {
			content, err := raw.Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(ctx)
			if err == nil && !strings.Contains(string(content), want) {
				err = fmt.Errorf("no %s in it", want)
			}
			return err
		})
	}
	c.eventually(t, "/openapi/v2 with all of it", func(ctx context.Context) error {
		content, err := raw.Get().AbsPath("/openapi/v2").SetHeader("Accept", "application/json").DoRaw(ctx)
		if err != nil {
			return err
		}
		var document struct {
			Definitions map[string]any `json:"definitions"`
		}
		if err := json.Unmarshal(content, &document); err != nil {
			return err
		}
		for _, name := range []string{"io.k8s.api.apps.v1.Deployment", "com.example.v1.Boat", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService"} {
			if document.Definitions[name] == nil {
				return fmt.Errorf("no %s", name)
			}
		}
		return nil
	})
}

func (c *cluster) secrets(t *testing.T) {
	const clear = "a-very-clear-text"
	_, err := c.client.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "hidden"}, StringData: map[string]string{"k": clear},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.client.CoreV1().Secrets("default").Get(t.Context(), "hidden", metav1.GetOptions{}); err != nil || string(got.Data["k"]) != clear {
		t.Fatalf("%v, %v", got, err)
	}
	_ = filepath.WalkDir(filepath.Join(c.dir, "state"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), clear) {
			t.Errorf("%s has the secret in clear", path)
		}
		return err
	})
}

func (c *cluster) audit(t *testing.T) {
	path := filepath.Join(c.dir, "log", "audit.log")
	c.eventually(t, "who made the secret, and not the secret", func(context.Context) error {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(content), "a-very-clear-text") {
			t.Fatal("the audit log has a secret in it")
		}
		if !strings.Contains(string(content), `"name":"hidden"`) || !strings.Contains(string(content), "skiff-admin") {
			return fmt.Errorf("not in the log")
		}
		return nil
	})
}
