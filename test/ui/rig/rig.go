// Package rig runs a control plane as a local process and fills it with objects
// for testing and measuring the dashboard. There are no kubelets: the rig itself
// reports the status of nodes and pods.
package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/controlplane/server/servertest"
)

// Context is the name of the context in the kubeconfig.
const Context = "native"

// Server is a running control plane.
type Server struct {
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string
	Config     *rest.Config
	Client     *kubernetes.Clientset

	process *exec.Cmd
	exited  chan struct{} // closed when the process has exited, with failure
	failure error
}

// startLimit is how long the control plane may take to become ready.
const startLimit = 3 * time.Minute

// ErrNotBuilt is returned if there is no control plane program.
var ErrNotBuilt = errors.New("skiff-controlplane is not built: run `make guest` or set SKIFF_CONTROLPLANE")

// Program returns the path of the control plane program: SKIFF_CONTROLPLANE, or
// the one that `make guest` builds in root, the root of this repository.
func Program(root string) (string, error) {
	program := os.Getenv("SKIFF_CONTROLPLANE")
	if program == "" {
		program = filepath.Join(root, "build", "guest", "linux-"+runtime.GOARCH, "skiff-controlplane")
	}
	if _, err := os.Stat(program); err != nil {
		return "", ErrNotBuilt
	}
	return program, nil
}

// Skiff builds the host program into dir.
func Skiff(ctx context.Context, root, dir string) (string, error) {
	program := filepath.Join(dir, "skiff")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/skiff")
	build.Dir = root
	// Build with the settings of the Makefile, to share its build cache.
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build skiff: %w: %s", err, out)
	}
	return program, nil
}

// Start runs program until Stop, with all its files in dir.
func Start(ctx context.Context, program, dir string) (*Server, error) {
	if _, err := servertest.Write(dir, netip.MustParseAddr("127.0.0.1")); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "controlplane.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	s := &Server{Kubeconfig: filepath.Join(dir, "kubeconfig"), exited: make(chan struct{})}
	s.process = exec.Command(program, "-node-config", filepath.Join(dir, "node.json"), "-pki-dir", filepath.Join(dir, "pki"),
		"-state-dir", filepath.Join(dir, "state"), "-log-dir", filepath.Join(dir, "log"),
		"-port", ports[0], "-etcd-client-port", ports[1], "-etcd-peer-port", ports[2])
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	go func() {
		s.failure = s.process.Wait()
		close(s.exited)
	}()
	if err := s.connect(dir, ports[0]); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.ready(ctx); err != nil {
		content, _ := os.ReadFile(log.Name())
		return nil, errors.Join(fmt.Errorf("%w: %s", err, content[max(0, len(content)-2000):]), s.Stop())
	}
	return s, nil
}

func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }()
		ports = append(ports, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

func (s *Server) connect(dir, port string) error {
	file := clientcmdapi.NewConfig()
	file.Clusters[Context] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:" + port, CertificateAuthority: filepath.Join(dir, "pki/ca.crt")}
	file.AuthInfos[Context] = &clientcmdapi.AuthInfo{ClientCertificate: filepath.Join(dir, "admin.crt"), ClientKey: filepath.Join(dir, "admin.key")}
	file.Contexts[Context] = &clientcmdapi.Context{Cluster: Context, AuthInfo: Context}
	file.CurrentContext = Context
	if err := clientcmd.WriteToFile(*file, s.Kubeconfig); err != nil {
		return err
	}
	var err error
	if s.Config, err = clientcmd.NewDefaultClientConfig(*file, nil).ClientConfig(); err != nil {
		return err
	}
	s.Config.QPS = -1
	s.Client, err = kubernetes.NewForConfig(s.Config)
	return err
}

func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		_, err := s.Client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			// kube-dns is the last object that a new control plane creates.
			_, err = s.Client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{})
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the control plane is not ready: %w", err)
		case <-s.exited:
			return fmt.Errorf("the control plane exited: %w", s.failure)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Freeze suspends the process, like a host that sleeps.
func (s *Server) Freeze() error { return s.process.Process.Signal(syscall.SIGSTOP) }

// Thaw resumes the process after Freeze.
func (s *Server) Thaw() error { return s.process.Process.Signal(syscall.SIGCONT) }

// Stop terminates the process.
func (s *Server) Stop() error {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		_ = s.process.Process.Kill()
		<-s.exited
	}
	return nil
}
