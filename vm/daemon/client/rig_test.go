package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/driver/fake"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/restore/restoretest"
)

// Variables with which the test binary runs as a daemon of its own.
const (
	envDaemon = "SKIFF_TEST_DAEMON" // HOME:NAME:IMAGEDIR
	envStuck  = "SKIFF_TEST_STUCK"  // the API never becomes ready
)

func TestMain(m *testing.M) {
	if config := os.Getenv(envDaemon); config != "" {
		part := strings.Split(config, ":")
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		w := newEnvironment()
		w.stuck = os.Getenv(envStuck) != ""
		if err := daemon.Run(ctx, w.config(home.Home(part[0]), part[1], part[2])); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// environment is what a daemon finds on its host: a fake driver whose machines
// answer as nodes and as a Kubernetes API, on ports of the loopback interface.
type environment struct {
	driver *fake.Driver
	etcd   restoretest.Cluster
	stuck  bool

	mu        sync.Mutex                 // guards the fields below
	ports     map[string]string          // address in the cluster's network → address here
	servers   map[string]*http.Server    // by machine and port
	nodes     map[string]string          // registered nodes: boot id
	documents map[string]nodeconfig.Node // what each machine was booted with
	boots     int
	secrets   int
	deleted   []string
	left      []string // requests to control planes that leave, and to etcd
	cordoned  []string
	clocks    int
	turnedOff []string // machines whose guest was asked to shut down
	stays     string   // the guest that accepts a shutdown and ignores it
	shutdown  []string // "sync NODE" and "off NODE (RUNNING control planes)"
	started   map[string]time.Time
	notReady  map[string]bool
	asked     []string          // calls of the driver, as steps
	under     map[string]string // the key that encrypts each secret
	refuse    bool              // no secret can be written
	seeds     map[string]int    // how often each machine was reseeded
	owner     int               // the process for which the cluster exists, 0 if there is none
	dashboard func(api http.Handler, log *slog.Logger) daemon.Dashboard
}

func newEnvironment() *environment {
	w := &environment{
		driver: &fake.Driver{}, ports: map[string]string{},
		servers: map[string]*http.Server{}, nodes: map[string]string{},
		documents: map[string]nodeconfig.Node{}, seeds: map[string]int{}, started: map[string]time.Time{}, notReady: map[string]bool{},
		under: map[string]string{"one": "key1", "two": "key1", "clear": ""},
	}
	w.driver.Started = w.boot
	w.driver.Fail = func(call, name string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, call+" "+name)
		return nil
	}
	w.driver.Reseeded = func(name string, _ []byte) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seeds[name]++
	}
	return w
}

func (w *environment) config(h home.Home, name, images string) daemon.Config {
	return daemon.Config{
		Home: h, Name: name, ImageDir: images, Owner: w.owner, Dashboard: w.dashboard, Log: slog.New(slog.DiscardHandler),
		Limits: fleet.Limits{Boot: 15 * time.Second, Drain: 5 * time.Second, PowerOff: time.Second},
		Machines: func(context.Context, drivers.Config) (drivers.Machines, error) {
			return drivers.Machines{Driver: w.driver, Dial: w.dial}, nil
		},
	}
}

func (w *environment) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	here, ok := w.ports[address]
	w.mu.Unlock()
	if !ok {
		return nil, errors.New("connection refused")
	}
	return (&net.Dialer{}).DialContext(ctx, network, here)
}

// boot boots a machine: it reads its document, serves the node API and registers.
// A control plane also serves the Kubernetes API.
func (w *environment) boot(m machine.Machine) {
	var node nodeconfig.Node
	if err := json.Unmarshal(m.Seed, &node); err != nil {
		panic(err)
	}
	w.mu.Lock()
	w.boots++
	id := fmt.Sprintf("boot-%d", w.boots)
	w.nodes[node.Name], w.documents[node.Name] = id, node
	w.mu.Unlock()
	address := node.Network.Address.Addr()
	w.serve(node, netip.AddrPortFrom(address, nodeconfig.PortNodeAPI), "node-api", "host-ca.crt", w.nodeAPI(node.Name, id))
	if node.Role == nodeconfig.RoleControlPlane {
		w.serve(node, netip.AddrPortFrom(address, nodeconfig.PortKubernetes), "apiserver", "ca.crt", w.kubernetes(node.Name))
	}
}

func (w *environment) serve(node nodeconfig.Node, address netip.AddrPort, leaf, authority string, handler http.Handler) {
	certificate, err := tls.X509KeyPair(node.Files[leaf+".crt"], node.Files[leaf+".key"])
	if err != nil {
		panic(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(node.Files[authority])
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	w.mu.Lock()
	if old := w.servers[address.String()]; old != nil {
		_ = old.Close()
	}
	w.servers[address.String()], w.ports[address.String()] = server, listener.Addr().String()
	w.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

func (w *environment) nodeAPI(name, boot string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+nodeapi.PathStatus, func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		started := w.started[name]
		w.mu.Unlock()
		_ = json.NewEncoder(out).Encode(nodeapi.Status{
			Node: name, BootID: boot, Time: time.Now(),
			Programs: []nodeapi.Program{{Name: "nodeagent", PID: 1, Started: started, Restarts: 3, LastExit: "exit status 1"}},
		})
	})
	mux.HandleFunc("GET "+nodeapi.PathLogs, func(out http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(out, "%s of %s, last %s\n", r.URL.Query().Get("source"), name, r.URL.Query().Get("tail"))
		if r.URL.Query().Get("follow") == "true" {
			_ = http.NewResponseController(out).Flush()
			<-r.Context().Done()
		}
	})
	mux.HandleFunc("POST "+nodeapi.PathPower, func(out http.ResponseWriter, r *http.Request) {
		var request nodeapi.PowerRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		w.power(name, request.Action)
		out.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST "+nodeapi.PathClock, func(http.ResponseWriter, *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.clocks++
	})
	mux.HandleFunc("POST "+nodeapi.PathFiles, func(out http.ResponseWriter, r *http.Request) {
		var request nodeapi.FilesRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		maps.Copy(w.documents[name].Files, request.Files)
		out.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+nodeapi.PathExec, func(out http.ResponseWriter, r *http.Request) { w.serveExec(out, r, name) })
	if strings.HasPrefix(name, string(nodeconfig.RoleControlPlane)) {
		mux.Handle(controlapi.Prefix, controlapi.Handler(&fakeControlPlane{w.etcd.Add(name, "old"), w, name}))
	}
	return mux
}

// power shuts a guest down, or restarts its programs.
func (w *environment) power(name, action string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if action == nodeapi.PowerActionRestart {
		w.started[name] = time.Now()
		return
	}
	planes := 0
	for node := range w.documents {
		if state, _ := w.driver.State(context.Background(), node); cluster.IsControlPlane(node) && state == machine.StateRunning {
			planes++
		}
	}
	w.turnedOff = append(w.turnedOff, name)
	w.shutdown = append(w.shutdown, fmt.Sprintf("off %s (%d)", name, planes))
	if name != w.stays {
		go w.driver.End(name, "")
	}
}

// serveExec runs nothing: it sends the arguments to stdout, stdin to stderr, and
// exits with 7, or with 0 for sync.
func (w *environment) serveExec(out http.ResponseWriter, r *http.Request, node string) {
	var request nodeapi.ExecRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(out).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+nodeapi.UpgradeExec+"\r\n\r\n")
	frames := nodeapi.NewWriter(conn)
	if request.Args[0] == "missing" {
		_ = frames.Write(nodeapi.Failure, []byte("no such program"))
		return
	}
	command := strings.Join(request.Args, " ")
	code := byte(7)
	if command == "sync" {
		code = 0
		w.mu.Lock()
		w.shutdown = append(w.shutdown, "sync "+node)
		w.mu.Unlock()
	}
	_ = frames.Write(nodeapi.Stdout, []byte(command))
	for {
		stream, payload, err := nodeapi.ReadFrame(buffered)
		if err != nil || stream == nodeapi.StdinClose {
			break
		}
		_ = frames.Write(nodeapi.Stderr, payload)
	}
	_ = frames.Write(nodeapi.Exit, []byte{0, 0, 0, code})
}

// kubernetes serves the part of the API that the daemon uses.
func (w *environment) kubernetes(name string) http.Handler {
	mux := http.NewServeMux()
	w.serveSecrets(mux, name)
	answer := func(out http.ResponseWriter, object any) {
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(object)
	}
	type object = map[string]any
	mux.HandleFunc("GET /readyz", func(out http.ResponseWriter, r *http.Request) {
		if w.stuck || w.etcd.Add(name, "old").Ready(r.Context()) != nil {
			http.Error(out, "not yet", http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /version", func(out http.ResponseWriter, _ *http.Request) {
		answer(out, object{"gitVersion": "v1.36.3"})
	})
	mux.HandleFunc("POST /api/v1/namespaces/kube-system/secrets", func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.secrets++
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(out).Encode(object{"kind": "Secret", "apiVersion": "v1"})
	})
	mux.HandleFunc("GET /api/v1/nodes", func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		items := []object{}
		for name, boot := range w.nodes {
			ready := map[bool]string{true: "False", false: "True"}[w.notReady[name]]
			items = append(items, object{
				"metadata": object{"name": name},
				"status":   object{"nodeInfo": object{"bootID": boot}, "conditions": []object{{"type": "Ready", "status": ready}}},
			})
		}
		answer(out, object{"kind": "NodeList", "apiVersion": "v1", "items": items})
	})
	mux.HandleFunc("GET /api/v1", func(out http.ResponseWriter, _ *http.Request) {
		answer(out, object{"kind": "APIResourceList", "groupVersion": "v1", "resources": []object{
			{"name": "pods/eviction", "kind": "Eviction", "group": "policy", "version": "v1", "namespaced": true, "verbs": []string{"create"}},
		}})
	})
	mux.HandleFunc("GET /api/v1/nodes/{name}", func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		name := r.PathValue("name")
		if _, ok := w.nodes[name]; !ok {
			out.WriteHeader(http.StatusNotFound)
			answer(out, object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound})
			return
		}
		answer(out, object{"kind": "Node", "apiVersion": "v1", "metadata": object{"name": name}})
	})
	mux.HandleFunc("PATCH /api/v1/nodes/{name}", func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cordoned = append(w.cordoned, r.PathValue("name"))
		answer(out, object{"kind": "Node", "apiVersion": "v1"})
	})
	mux.HandleFunc("DELETE /api/v1/nodes/{name}", func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.deleted = append(w.deleted, r.PathValue("name"))
		delete(w.nodes, r.PathValue("name"))
		answer(out, object{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	})
	mux.HandleFunc("GET /api/v1/pods", func(out http.ResponseWriter, _ *http.Request) {
		answer(out, object{"kind": "PodList", "apiVersion": "v1", "items": []object{}})
	})
	return mux
}

// rig is an environment with a daemon in this process and a client.
type rig struct {
	*environment
	home   home.Home
	client *client.Client
	spec   cluster.Spec
	ended  chan error
	stop   context.CancelFunc
}

// imageDir returns a directory with a node image that nothing boots.
func imageDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := manifesttest.Write(dir, "amd64"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// changeImage gives the image another digest.
func changeImage(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, manifest.Name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = regexp.MustCompile(`sha256:0+1"`).ReplaceAll(content, []byte("sha256:"+strings.Repeat("1", 64)+`"`))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shortHome returns a directory whose path is short enough for sockets.
func shortHome(t *testing.T) home.Home {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return home.Home(dir)
}

func small(name string) cluster.Spec {
	spec := cluster.Default()
	spec.Name, spec.CPUs, spec.Memory = name, 1, "512Mi"
	return spec
}

func newRig(t *testing.T, h home.Home, name string) *rig {
	t.Helper()
	return startRig(t, newEnvironment(), h, small(name), imageDir(t))
}

// startRig starts a daemon in an environment that may exist already.
func startRig(t *testing.T, w *environment, h home.Home, spec cluster.Spec, images string) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{environment: w, home: h, spec: spec, ended: make(chan error, 1), stop: cancel}
	r.client = client.New(client.Config{Home: h, Name: spec.Name, ImageDir: images, Command: []string{"false"}})
	go func() { r.ended <- daemon.Run(ctx, r.config(h, spec.Name, images)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.ended; err != nil {
			t.Logf("the daemon returned %v", err)
		}
	})
	for !answers(h.Cluster(spec.Name).Socket()) {
		time.Sleep(time.Millisecond)
	}
	return r
}

func answers(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
