// Package nodetest runs the suite of package drivertest on a driver that boots real
// node images. It connects to the nodes as a cluster's daemon does.
package nodetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/drivertest"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network"
)

// requestLimit is how long a guest may take to answer, dialLimit how long to try to connect
// to it, and retryDelay how long to wait before asking again.
const (
	requestLimit = 3 * time.Minute
	dialLimit    = 5 * time.Second
	retryDelay   = 50 * time.Millisecond
)

// Image reads the node image in SKIFF_IMAGE_DIR, or else that of this checkout, for
// a test two folders below the root.
func Image(t *testing.T) machine.Image {
	t.Helper()
	dir := os.Getenv("SKIFF_IMAGE_DIR")
	if dir == "" {
		dir = "../../bin/image"
	}
	node, err := image.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return node.Image
}

// Rig is a driver with a network, two machines that it can run, "one" and "two",
// and a client of their node APIs.
type Rig struct {
	// Dir holds one directory for each machine.
	Dir    string
	Driver driver.Driver

	image       machine.Image
	authorities pki.Files
	nodes       map[string]cluster.Node
	client      *http.Client
}

// New returns a rig with the driver that open returns for the machines' directory
// and the socket of their network. Both end with the test.
func New(t *testing.T, img machine.Image, open func(ctx context.Context, dir, socket string) (driver.Driver, error)) *Rig {
	t.Helper()
	// Sockets need a short path.
	dir, err := os.MkdirTemp("/tmp", "sk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	spec := cluster.Default()
	r := &Rig{Dir: filepath.Join(dir, "vm"), image: img, nodes: map[string]cluster.Node{}}
	for i, name := range []string{"one", "two"} {
		n := cluster.Nodes(spec, nil)[1+i]
		n.Name = name
		r.nodes[name] = n
	}
	if r.authorities, err = pki.Authorities(time.Now()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	socket := filepath.Join(dir, "net.sock")
	wire, err := network.New(network.Config{Socket: socket, Subnet: spec.Network.Nodes, Pods: spec.Network.Pods, Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- wire.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if r.Driver, err = open(ctx, r.Dir, socket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Driver.Close(); err != nil {
			t.Error(err)
		}
	})
	// A machine that was killed drops packets, and the time between attempts to reach it doubles.
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialLimit)
		defer cancel()
		return wire.DialContext(ctx, network, address)
	}
	r.client = &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: r.tls(t), DisableKeepAlives: true}}
	return r
}

func (r *Rig) tls(t *testing.T) *tls.Config {
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

// Subject returns the driver for the suite. crash kills a running machine's
// process.
func (r *Rig) Subject(crash func(t *testing.T, name string)) drivertest.Subject {
	return drivertest.Subject{
		Driver: r.Driver, Machine: r.Machine, Crash: crash,
		Write: func(t *testing.T, name, mark string) {
			r.Exec(t, name, "echo -n "+mark+" > /var/mark && sync")
		},
		Read:     func(t *testing.T, name string) string { return r.Exec(t, name, "cat /var/mark 2>/dev/null || :") },
		PowerOff: func(t *testing.T, name string) { r.Power(t, name, nodeapi.PowerActionOff) },
		Busy: func(t *testing.T, name string) {
			r.Exec(t, name, "setsid sh -c 'while :; do :; done' >/dev/null 2>&1 </dev/null &")
		},
		Replace: r.replace,
	}
}

// replace moves what is below machines to the same places below the machines' directory.
func (r *Rig) replace(t *testing.T, machines string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(machines, "[^_]*"))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := filepath.Glob(filepath.Join(machines, "_*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(found, shared...) {
		within, err := filepath.Rel(machines, path)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(r.Dir, within)
		err = errors.Join(os.RemoveAll(target), os.MkdirAll(filepath.Dir(target), 0o700), os.Rename(path, target))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Machine returns one of the two, with new certificates and a new document.
func (r *Rig) Machine(name string) machine.Machine {
	spec, n, now := cluster.Default(), r.nodes[name], time.Now()
	files, err := pki.Worker(r.authorities, pki.Node{Cluster: spec.Name, Name: name, Address: n.Address.Addr(), Domain: spec.Network.Domain}, now)
	if err != nil {
		panic(err)
	}
	seed, err := json.Marshal(cluster.Document(cluster.State{Spec: spec}, n, files, now))
	if err != nil {
		panic(err)
	}
	return machine.Machine{
		Name: name, CPUs: 1, MemoryMiB: 768, DiskMiB: 2048,
		Image: r.image, Address: n.Address, MAC: n.MAC, Seed: seed,
	}
}

// Power turns the guest off or restarts it.
func (r *Rig) Power(t *testing.T, name, action string) {
	t.Helper()
	_ = r.request(t, name, http.MethodPost, nodeapi.PathPower, nodeapi.PowerRequest{Action: action}, nil).Close()
}

// Status returns the status that the guest reports. It asks again if a restart of the
// guest cuts its answer short.
func (r *Rig) Status(t *testing.T, name string) nodeapi.Status {
	t.Helper()
	for deadline := time.Now().Add(requestLimit); ; {
		body := r.request(t, name, http.MethodGet, nodeapi.PathStatus, nil, nil)
		var status nodeapi.Status
		err := json.NewDecoder(body).Decode(&status)
		_ = body.Close()
		if err == nil {
			return status
		}
		if time.Now().After(deadline) {
			t.Fatalf("status of %s: %v", name, err)
		}
		time.Sleep(retryDelay)
	}
}

// Exec runs a shell command in the guest and returns what it printed. It runs it again if a
// restart of the guest cuts its answer short.
func (r *Rig) Exec(t *testing.T, name, command string) string {
	t.Helper()
	for deadline := time.Now().Add(requestLimit); ; time.Sleep(retryDelay) {
		out, err := r.exec(t, name, command)
		if err == nil {
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("run %q on %s: %v", command, name, err)
		}
	}
}

// exec runs a shell command once. The error is that of reading its output.
func (r *Rig) exec(t *testing.T, name, command string) (string, error) {
	t.Helper()
	request := nodeapi.ExecRequest{Args: []string{"sh", "-c", command}}
	body := r.request(t, name, http.MethodPost, nodeapi.PathExec, request, http.Header{"Connection": {"Upgrade"}, "Upgrade": {nodeapi.UpgradeExec}})
	defer func() { _ = body.Close() }()
	var out, problems bytes.Buffer
	for {
		stream, payload, err := nodeapi.ReadFrame(body)
		if err != nil {
			return "", err
		}
		switch stream {
		case nodeapi.Stdout:
			out.Write(payload)
		case nodeapi.Stderr:
			problems.Write(payload)
		case nodeapi.Exit:
			if !bytes.Equal(payload, []byte{0, 0, 0, 0}) {
				t.Fatalf("run %q on %s: exit %v, %s%s", command, name, payload, out.String(), problems.String())
			}
			return out.String(), nil
		case nodeapi.Failure:
			t.Fatalf("run %q on %s: %s", command, name, payload)
		}
	}
}

// request repeats a request until the guest has booted and answers.
func (r *Rig) request(t *testing.T, name, method, path string, request any, header http.Header) io.ReadCloser {
	t.Helper()
	content, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	t.Cleanup(cancel)
	target := "https://" + netip.AddrPortFrom(r.nodes[name].Address.Addr(), nodeconfig.PortNodeAPI).String() + path
	for {
		attempt, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(content))
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
			console, _ := os.ReadFile(filepath.Join(r.Dir, name, "serial.log"))
			t.Fatalf("%s does not answer: %v\n%s", name, err, console[max(0, len(console)-4000):])
		}
		if err == nil {
			defer func() { _ = response.Body.Close() }()
			said, _ := io.ReadAll(io.LimitReader(response.Body, 300))
			t.Fatalf("%s answers %s: %s", name, response.Status, said)
		}
		time.Sleep(retryDelay)
	}
}

// Kill kills the process whose ID is in a file.
func Kill(t *testing.T, pidFile string) {
	t.Helper()
	content, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(content), &pid); err != nil || pid < 2 {
		t.Fatalf("%s holds %q: %v", pidFile, content, err)
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}
