package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/server"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// childSettings is the environment variable that makes this test program a control
// plane: upstream's controllers can be started only once in a process, and these
// tests start a control plane twice.
const childSettings = "SKIFF_TEST_CONTROLPLANE"

// childChecks makes that control plane check its settings instead.
const childChecks = "SKIFF_TEST_CHECK"

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
		if os.Getenv(childChecks) != "" {
			err = server.Check(ctx, s)
		} else {
			err = server.Run(ctx, s, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		}
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
	quota    int64      // of etcd, in bytes; 0 is the default
	life     testing.TB // outlives the process
}

func start(t *testing.T, dir string) *cluster {
	t.Helper()
	c := &cluster{dir: dir, life: t}
	node, err := nodeconfig.Read(filepath.Join(dir, "node.json"))
	if err != nil {
		if node, err = servertest.Write(dir, netip.MustParseAddr("127.0.0.1")); err != nil {
			t.Fatal(err)
		}
	}
	c.launch(t, node, freePorts(t, 3), dir)
	c.awaitReady(t)
	return c
}

// launch starts the process of a node whose files are in c.dir; the administrator's
// are in adminDir.
func (c *cluster) launch(t *testing.T, node nodeconfig.Node, ports []int, adminDir string) {
	t.Helper()
	dir := c.dir
	c.settings = server.Settings{
		Node: node, PKIDir: filepath.Join(dir, "pki"), StateDir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"), PrivateDir: dir,
		EtcdQuotaBytes: c.quota,
		Port:           ports[0], EtcdClientPort: ports[1], EtcdPeerPort: ports[2],
	}
	if err := os.MkdirAll(c.settings.LogDir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.run(t)
	c.connect(t, adminDir)
}

// connect creates the administrator's clients.
func (c *cluster) connect(t *testing.T, adminDir string) {
	t.Helper()
	c.admin = &rest.Config{
		Host:            fmt.Sprintf("https://%s:%d", c.settings.Node.Network.Address.Addr(), c.settings.Port),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(c.dir, "pki/ca.crt"), CertFile: filepath.Join(adminDir, "admin.crt"), KeyFile: filepath.Join(adminDir, "admin.key")},
		QPS:             -1,
	}
	var err error
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) awaitReady(t *testing.T) {
	t.Helper()
	c.eventually(t, "the API is ready", func(ctx context.Context) error {
		select {
		case err := <-c.ended:
			c.ended <- err
			t.Fatalf("the control plane ended: %v", err)
		default:
		}
		return c.serves(ctx)
	})
}

// serves returns nil if the API is ready and has the objects of every cluster.
func (c *cluster) serves(ctx context.Context) error {
	_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if err == nil {
		_, err = c.client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{})
	}
	return err
}

// run starts the control plane's process. The test prints its log if it fails.
func (c *cluster) run(t *testing.T) {
	t.Helper()
	encoded, err := json.Marshal(c.settings)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.dir, "process.log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.process, c.ended = exec.Command(os.Args[0]), make(chan error, 1)
	c.process.Env = append(os.Environ(), childSettings+"="+string(encoded))
	c.process.Stderr = log
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- c.process.Wait() }()
	c.life.Cleanup(func() {
		_ = c.process.Process.Kill()
		if c.life.Failed() {
			content, _ := os.ReadFile(path)
			c.life.Logf("%s\n%s", path, content)
		}
	})
}

// control calls the process as the node API does.
func (c *cluster) control() controlapi.Client { return controlapi.Dial(c.settings.ControlSocket()) }

// stop sends SIGTERM to the process and returns how it ended.
func (c *cluster) stop() error {
	_ = c.process.Process.Signal(syscall.SIGTERM)
	return c.end()
}

// end waits until the process has ended, and returns how.
func (c *cluster) end() error { return <-c.ended }

// freePorts returns n different ports.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := map[int]bool{}
	for len(ports) < n {
		ports[int(runtest.FreePort(t))] = true
	}
	return slices.Collect(maps.Keys(ports))
}

// eventually calls try until it succeeds. The limit only ends a test that hangs.
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
			t.Fatalf("timed out waiting for: %s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
