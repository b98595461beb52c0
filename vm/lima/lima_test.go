package lima_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver/drivertest"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/lima"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network"
)

// TestMain lets the test binary stand in for skiff as QEMU's wrapper.
func TestMain(m *testing.M) {
	if lima.IsQEMU(os.Args[0]) {
		fmt.Fprintln(os.Stderr, lima.ExecQEMU(os.Args))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestLimaKeepsTheContract boots the real node image, which takes minutes under
// emulation.
func TestLimaKeepsTheContract(t *testing.T) {
	if os.Getenv("SKIFF_VM_TESTS") == "" {
		t.Skip("set SKIFF_VM_TESTS=1 to boot virtual machines")
	}
	dir := os.Getenv("SKIFF_IMAGE_DIR")
	if dir == "" {
		dir = "../../bin/image"
	}
	node, err := image.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	drivertest.Run(t, func(t *testing.T) drivertest.Subject {
		return newRig(t, node.Image).subject()
	})
}

// rig is a driver with a network and what it takes to talk to its guests.
type rig struct {
	dir         string
	driver      *lima.Driver
	image       machine.Image
	authorities pki.Files
	nodes       map[string]cluster.Node
	client      *http.Client
}

func newRig(t *testing.T, img machine.Image) *rig {
	// Sockets need a short path.
	dir, err := os.MkdirTemp("/tmp", "sk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	spec := cluster.Default()
	r := &rig{dir: dir, image: img, nodes: map[string]cluster.Node{}}
	for i, name := range []string{"one", "two"} {
		n := cluster.Nodes(spec)[1+i]
		n.Name = name
		r.nodes[name] = n
	}
	if r.authorities, err = pki.Authorities(time.Now()); err != nil {
		t.Fatal(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.driver, err = lima.New(ctx, lima.Config{
		Dir: filepath.Join(dir, "vm"), Network: filepath.Join(dir, "net.sock"),
		Cache: filepath.Join(os.TempDir(), "skiff-test-cache"), Image: img, Executable: executable,
	})
	if err != nil {
		t.Fatal(err)
	}
	wire, err := network.New(network.Config{Socket: filepath.Join(dir, "net.sock"), Subnet: spec.Network.Nodes, Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- wire.Run(ctx) }()
	t.Cleanup(func() {
		if err := r.driver.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r.client = &http.Client{Transport: &http.Transport{DialContext: wire.DialContext, TLSClientConfig: r.tls(t), DisableKeepAlives: true}}
	return r
}

func (r *rig) tls(t *testing.T) *tls.Config {
	host, err := pki.Host(r.authorities, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(host["host.crt"], host["host.key"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(host["host-ca.crt"])
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{certificate}}
}

func (r *rig) subject() drivertest.Subject {
	return drivertest.Subject{
		Driver: r.driver, Machine: r.machine, Crash: r.crash,
		Write: func(t *testing.T, name, mark string) {
			r.exec(t, name, "echo -n "+mark+" > /var/mark && sync")
		},
		Read: func(t *testing.T, name string) string { return r.exec(t, name, "cat /var/mark 2>/dev/null || :") },
		PowerOff: func(t *testing.T, name string) {
			body := r.post(t, name, nodeapi.PathPower, nodeapi.PowerRequest{Action: "off"}, nil)
			_ = body.Close()
		},
	}
}

func (r *rig) machine(name string) machine.Machine {
	spec, n, now := cluster.Default(), r.nodes[name], time.Now()
	files, err := pki.Worker(r.authorities, pki.Node{Cluster: spec.Name, Name: name, Address: n.Address.Addr(), Domain: spec.Network.Domain}, now)
	if err != nil {
		panic(err)
	}
	seed, err := json.Marshal(cluster.Document(cluster.State{Spec: spec}, n, files, "abcdef.0123456789abcdef", now))
	if err != nil {
		panic(err)
	}
	return machine.Machine{
		Name: name, CPUs: 1, MemoryMiB: 768, DiskMiB: 2048,
		Image: r.image, Address: n.Address, MAC: n.MAC, Seed: seed,
	}
}

func (r *rig) crash(t *testing.T, name string) {
	content, err := os.ReadFile(filepath.Join(r.dir, "vm", name, "qemu.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// exec runs a shell command in the guest and returns what it printed.
func (r *rig) exec(t *testing.T, name, command string) string {
	t.Helper()
	request := nodeapi.ExecRequest{Args: []string{"sh", "-c", command}}
	body := r.post(t, name, nodeapi.PathExec, request, http.Header{"Connection": {"Upgrade"}, "Upgrade": {nodeapi.UpgradeExec}})
	defer func() { _ = body.Close() }()
	var out bytes.Buffer
	for {
		stream, payload, err := nodeapi.ReadFrame(body)
		if err != nil {
			t.Fatalf("run %q on %s: %v", command, name, err)
		}
		switch stream {
		case nodeapi.Stdout:
			out.Write(payload)
		case nodeapi.Exit:
			if !bytes.Equal(payload, []byte{0, 0, 0, 0}) {
				t.Fatalf("run %q on %s: exit %v, %s", command, name, payload, out.String())
			}
			return out.String()
		case nodeapi.Failure:
			t.Fatalf("run %q on %s: %s", command, name, payload)
		}
	}
}

// post asks the guest until it answers, which is after it has booted.
func (r *rig) post(t *testing.T, name, path string, request any, header http.Header) io.ReadCloser {
	t.Helper()
	content, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	target := "https://" + netip.AddrPortFrom(r.nodes[name].Address.Addr(), nodeconfig.PortNodeAPI).String() + path
	for {
		attempt, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		for key, values := range header {
			attempt.Header[key] = values
		}
		response, err := r.client.Do(attempt)
		if err == nil && response.StatusCode < 300 {
			return response.Body
		}
		if ctx.Err() != nil {
			console, _ := os.ReadFile(filepath.Join(r.dir, "vm", name, "serial.log"))
			t.Fatalf("%s does not answer: %v\n%s", name, err, console[max(0, len(console)-4000):])
		}
		if err == nil {
			_ = response.Body.Close()
			t.Fatalf("%s answers %s", name, response.Status)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
