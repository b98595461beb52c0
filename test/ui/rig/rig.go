// Package rig runs a control plane natively, on loopback, and fills it with
// objects: what the dashboard is tested, measured and pictured against. There
// are no kubelets; nodes and pods are what the rig says they are.
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

// Context is the name of the kubeconfig's context.
const Context = "native"

// Server is a control plane that runs.
type Server struct {
	// Kubeconfig is the path of the administrator's.
	Kubeconfig string
	Config     *rest.Config
	Client     *kubernetes.Clientset

	process *exec.Cmd
	ended   chan error
}

// startLimit is how long the control plane may take until it answers.
const startLimit = 3 * time.Minute

// Program is the control plane's program: SKIFF_CONTROLPLANE, or built from
// this module into dir.
func Program(ctx context.Context, dir string) (string, error) {
	if program := os.Getenv("SKIFF_CONTROLPLANE"); program != "" {
		return program, nil
	}
	program := filepath.Join(dir, "skiff-controlplane")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/skiff-dev/skiff/cmd/skiff-controlplane")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the control plane: %w: %s", err, out)
	}
	return program, nil
}

// Start runs program with all its files in dir until Stop.
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
	s := &Server{Kubeconfig: filepath.Join(dir, "kubeconfig"), ended: make(chan error, 1)}
	s.process = exec.Command(program, "-node-config", filepath.Join(dir, "node.json"), "-pki-dir", filepath.Join(dir, "pki"),
		"-state-dir", filepath.Join(dir, "state"), "-log-dir", filepath.Join(dir, "log"),
		"-port", ports[0], "-etcd-client-port", ports[1], "-etcd-peer-port", ports[2])
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	go func() { s.ended <- s.process.Wait() }()
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
			// The last thing that a new control plane makes.
			_, err = s.Client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{})
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the control plane is not ready: %w", err)
		case ended := <-s.ended:
			s.ended <- ended
			return fmt.Errorf("the control plane ended: %w", ended)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Freeze stops the process without ending it, as a host that sleeps does; Thaw
// lets it go on.
func (s *Server) Freeze() error { return s.process.Process.Signal(syscall.SIGSTOP) }

// Thaw is the end of Freeze.
func (s *Server) Thaw() error { return s.process.Process.Signal(syscall.SIGCONT) }

// Stop ends the process.
func (s *Server) Stop() error {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = s.process.Process.Kill()
		<-s.ended
	}
	return nil
}
