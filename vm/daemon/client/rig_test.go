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

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/fake"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network/impair"
	"github.com/skiff-dev/skiff/vm/offline"
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
		w.stuck, w.programs = os.Getenv(envStuck) != "", newPrograms(os.Getenv(envPrograms))
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
	driver   *fake.Driver
	etcd     restoretest.Cluster
	programs *programs
	stuck    bool

	mu        sync.Mutex                   // guards the fields below
	ports     map[string]string            // address in the cluster's network → address here
	servers   map[string]*http.Server      // by machine and port
	nodes     map[string]string            // registered nodes: boot id
	objects   map[string]*corev1.Node      // labels, taints and schedulability of registered nodes
	sizes     map[string]cluster.Size      // with which each machine was booted last
	blocked   []corev1.Pod                 // pods that cannot be evicted
	grown     []string                     // nodes whose file system grew
	documents map[string]nodeconfig.Node   // what each machine was booted with
	running   map[string]manifest.Manifest // the node image that each machine was booted with last
	broken    map[string]string            // how machines with a node image end, by its digest
	snapshot  []byte                       // of etcd; nil if none can be taken
	moment    func()                       // called before requests that change something; may be nil
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
	clients   string            // the authorities in the object for aggregated API servers
	refuse    bool              // no secret can be written
	seeds     map[string]int    // how often each machine was reseeded
	// refuseFiles counts down to the request with files that a node refuses.
	refuseFiles int
	stored      map[string][]string      // images that were loaded onto all nodes, by node
	fullNode    string                   // the node onto which no images can be loaded
	links       impair.Links             // of machines
	offsets     map[string]time.Duration // by which a node's clock is ahead
	full        map[string]bool          // nodes whose disk is full on purpose
	asks        int                      // for the readiness of API servers
	claims      map[string]string        // of local volumes, by node
	reported    []string                 // events of nodes: "NODE REASON"
	bootLimit   time.Duration            // how long the attempts to boot a machine may take
	repair      time.Duration            // how long nodes must be unhealthy until they are repaired
	scale       time.Duration            // how long nodes must not have been needed until they are removed
	room        func(controlapi.RoomRequest) controlapi.Room
	idle        time.Duration              // how long nobody must have used the cluster until it is paused
	owner       int                        // the process for which the cluster exists, 0 if there is none
	random      []string                   // bytes that nodes were given
	inherited   map[string]nodeconfig.Node // documents of another cluster's nodes, whose memory machines continue with
	earlier     bool                       // nodes are those of an earlier release
	silent      string                     // an address that does not answer once its guest shuts down
	waits       chan struct{}              // closed once a connection to it waits
	log         *slog.Logger               // of the daemon
	dashboard   func(api http.Handler, log *slog.Logger) daemon.Dashboard
	// putFile puts files into the machines' file systems; nil if they are not the host's.
	putFile func(ctx context.Context, machines []string, name, sum string, content io.Reader) error
}

func newEnvironment() *environment {
	w := &environment{
		driver: &fake.Driver{}, bootLimit: 90 * time.Second, log: slog.New(slog.DiscardHandler), programs: newPrograms(""), ports: map[string]string{},
		servers: map[string]*http.Server{}, nodes: map[string]string{}, objects: map[string]*corev1.Node{}, sizes: map[string]cluster.Size{},
		documents: map[string]nodeconfig.Node{}, running: map[string]manifest.Manifest{}, broken: map[string]string{}, seeds: map[string]int{}, started: map[string]time.Time{}, notReady: map[string]bool{}, offsets: map[string]time.Duration{}, full: map[string]bool{}, claims: map[string]string{}, stored: map[string][]string{},
		under: map[string]string{"one": "key1", "two": "key1", "clear": ""},
	}
	w.driver.Started, w.driver.Woken = w.boot, w.wake
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

// roomy is this host with room for any cluster, because machines of tests need none.
func roomy(h home.Home) cluster.Host {
	host := offline.Host(h)
	host.MemoryMiB, host.DiskFreeMiB = 1<<20, 1<<20
	return host
}

func (w *environment) config(h home.Home, name, images string) daemon.Config {
	return daemon.Config{
		Home: h, Name: name, ImageDir: images, Owner: w.owner, Dashboard: w.dashboard, Log: w.log, Host: roomy,
		Busy: func() bool { return false },
		Limits: fleet.Limits{
			Boot: w.bootLimit, ControlPlane: time.Minute, Drain: 5 * time.Second, PowerOff: time.Second, Settled: time.Millisecond,
			Repair: w.repair, Scale: w.scale, Idle: w.idle, Noticed: 10 * time.Millisecond,
		},
		Unpacker: func(home.Cluster, string) (driver.Unpacker, error) { return w.driver, nil },
		Machines: func(_ context.Context, config drivers.Config) (drivers.Machines, error) {
			if err := w.driver.Load(config.Cluster.Machines()); err != nil {
				return drivers.Machines{}, err
			}
			return drivers.Machines{Driver: w.driver, Dial: w.dial, Impair: w.impair, PutFile: w.putFile}, nil
		},
	}
}

// impair records how links are impaired.
func (w *environment) impair(links impair.Links) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links = links
	return nil
}

func (w *environment) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	here, ok := w.ports[address]
	silent := address == w.silent && len(w.turnedOff) > 0
	if silent && w.waits != nil {
		close(w.waits)
		w.waits = nil
	}
	w.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
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
	img, err := manifest.Read(filepath.Dir(m.Image.Root))
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	if reason := w.broken[img.Digest]; reason != "" {
		w.mu.Unlock()
		w.driver.End(m.Name, reason)
		return
	}
	w.running[m.Name] = img
	w.boots++
	id := fmt.Sprintf("boot-%d", w.boots)
	w.nodes[node.Name], w.documents[node.Name] = id, node
	w.sizes[node.Name] = cluster.Size{CPUs: m.CPUs, MemoryMiB: m.MemoryMiB, DiskMiB: m.DiskMiB}
	if w.objects[node.Name] == nil {
		w.objects[node.Name] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: maps.Clone(node.Kubernetes.Labels)}}
		for _, text := range node.Kubernetes.Taints {
			taint, err := cluster.ParseTaint(text)
			if err != nil {
				panic(err)
			}
			w.objects[node.Name].Spec.Taints = append(w.objects[node.Name].Spec.Taints, taint)
		}
	}
	w.mu.Unlock()
	w.run(node, id)
}

// wake lets a machine that is new here continue as the node of another cluster.
func (w *environment) wake(m machine.Machine) {
	w.mu.Lock()
	_, here := w.documents[m.Name]
	node, inherited := w.inherited[m.Name]
	if here || !inherited {
		w.mu.Unlock()
		return
	}
	id := "of another cluster: " + m.Name
	node.Files = maps.Clone(node.Files)
	w.nodes[m.Name], w.documents[m.Name] = id, node
	w.objects[m.Name] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Name, Labels: maps.Clone(node.Kubernetes.Labels)}}
	w.sizes[m.Name] = cluster.Size{CPUs: m.CPUs, MemoryMiB: m.MemoryMiB, DiskMiB: m.DiskMiB}
	w.mu.Unlock()
	w.run(node, id)
}

// identify serves the request that makes a node another one's copy.
func (w *environment) identify(out http.ResponseWriter, r *http.Request, name string) {
	var request nodeapi.IdentityRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.earlier {
		http.NotFound(out, r)
		return
	}
	w.random = append(w.random, string(request.Random))
	if len(request.Document) > 0 {
		var document nodeconfig.Node
		if err := json.Unmarshal(request.Document, &document); err != nil {
			panic(err)
		}
		w.documents[name] = document
	}
	out.WriteHeader(http.StatusNoContent)
}

// run runs what a node serves.
func (w *environment) run(node nodeconfig.Node, id string) {
	w.programs.start(node, "nodeagent")
	if node.Role == nodeconfig.RoleControlPlane {
		w.programs.start(node, "controlplane")
	}
	address := node.Network.Address.Addr()
	w.serve(node, netip.AddrPortFrom(address, nodeconfig.PortNodeAPI), "node-api", "host-ca.crt", w.nodeAPI(node.Name, id))
	if node.Role == nodeconfig.RoleControlPlane {
		w.serve(node, netip.AddrPortFrom(address, nodeconfig.PortKubernetes), "apiserver", "ca.crt", w.kubernetes(node.Name))
	}
}

func (w *environment) serve(node nodeconfig.Node, address netip.AddrPort, leaf, authority string, handler http.Handler) {
	current := func(*tls.ClientHelloInfo) (*tls.Config, error) {
		w.mu.Lock()
		files := w.documents[node.Name].Files
		pair, err := tls.X509KeyPair(files[leaf+".crt"], files[leaf+".key"])
		clients := x509.NewCertPool()
		clients.AppendCertsFromPEM(files[authority])
		w.mu.Unlock()
		return &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, SessionTicketsDisabled: true,
		}, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: current})
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
		started, document := w.started[name], w.documents[name]
		certificates, trust := describe(document.Files)
		w.mu.Unlock()
		status := nodeapi.Status{Node: name, BootID: boot, Time: time.Now(), Programs: w.programs.status(document), Certificates: certificates, Trust: trust}
		if status.Programs == nil {
			status.Programs = []nodeapi.Program{{Name: "nodeagent", PID: 1, Started: started, Restarts: 3, LastExit: "exit status 1"}}
		}
		_ = json.NewEncoder(out).Encode(status)
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
	mux.HandleFunc("POST "+nodeapi.PathClock, func(out http.ResponseWriter, r *http.Request) {
		var request nodeapi.ClockRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.clocks++
		w.offsets[name] = time.Until(request.Time) + time.Duration(request.AheadSeconds*float64(time.Second))
	})
	mux.HandleFunc("POST "+nodeapi.PathIdentity, func(out http.ResponseWriter, r *http.Request) { w.identify(out, r, name) })
	mux.HandleFunc("POST "+nodeapi.PathDisk, func(out http.ResponseWriter, r *http.Request) {
		var request nodeapi.DiskRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.full[name] = request.FullSeconds > 0
		out.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+nodeapi.PathGrow, func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.grown = append(w.grown, name)
		out.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+nodeapi.PathFiles, func(out http.ResponseWriter, r *http.Request) {
		var request nodeapi.FilesRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		if _, ok := request.Files[nodeconfig.ComponentsFile]; ok {
			w.programs.point()
			defer w.programs.point()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.refuseFiles > 0 {
			if w.refuseFiles--; w.refuseFiles == 0 {
				http.Error(out, "no space left", http.StatusInternalServerError)
				return
			}
		}
		maps.Copy(w.documents[name].Files, request.Files)
		out.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+nodeapi.PathExec, func(out http.ResponseWriter, r *http.Request) { w.serveExec(out, r, name) })
	if strings.HasPrefix(name, string(nodeconfig.RoleControlPlane)) {
		mux.Handle(controlapi.Prefix, controlapi.Handler(&fakeControlPlane{w.etcd.Add(name, "old"), w, name}))
	}
	return mux
}

// pass lets a test see what is on disk now.
func (w *environment) pass() {
	w.mu.Lock()
	moment := w.moment
	w.mu.Unlock()
	if moment != nil {
		moment()
	}
}

// power shuts a guest down, or restarts its programs.
func (w *environment) power(name, action string) {
	w.pass()
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
		go func(waits <-chan struct{}) {
			if waits != nil {
				<-waits
			}
			w.driver.End(name, "")
		}(w.waits)
	}
}

// serveExec runs nothing: it sends the arguments to stdout, stdin to stderr, and
// exits with 7, or with 0 for sync. Commands for images change w.stored.
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
	w.mu.Lock()
	document := w.documents[node]
	w.mu.Unlock()
	if command == "sync" {
		code = 0
		w.mu.Lock()
		w.shutdown = append(w.shutdown, "sync "+node)
		w.mu.Unlock()
	}
	var stdin []byte
	for {
		stream, payload, err := nodeapi.ReadFrame(buffered)
		if err != nil || stream == nodeapi.StdinClose {
			break
		}
		stdin = append(stdin, payload...)
	}
	if stderr, own, ours := w.programs.run(document, request.Args, stdin); ours {
		command, stdin, code = "", []byte(stderr), own
	}
	if strings.Contains(command, "grep -lF") { // no pod has an old token
		command, stdin, code = "0", nil, 0
	}
	if request.Args[0] == "ctr" {
		command, code = w.images(node, request.Args[4:], string(stdin))
	}
	_ = frames.Write(nodeapi.Stdout, []byte(command))
	_ = frames.Write(nodeapi.Stderr, stdin)
	_ = frames.Write(nodeapi.Exit, []byte{0, 0, 0, code})
}

// kubernetes serves the part of the API that the daemon uses.
func (w *environment) kubernetes(name string) http.Handler {
	mux := http.NewServeMux()
	w.serveSecrets(mux, name)
	w.serveAuthorities(mux)
	answer := func(out http.ResponseWriter, object any) {
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(object)
	}
	type object = map[string]any
	mux.HandleFunc("GET /readyz", func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asks++
		w.mu.Unlock()
		if w.stuck || w.etcd.Add(name, "old").Ready(r.Context()) != nil {
			http.Error(out, "not yet", http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /version", func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		answer(out, object{"gitVersion": w.running[name].Kubernetes})
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
				"metadata": object{"name": name, "labels": w.objects[name].Labels},
				"spec":     w.objects[name].Spec,
				"status":   object{"nodeInfo": object{"bootID": boot, "kubeletVersion": w.running[name].Kubernetes}, "conditions": []object{{"type": "Ready", "status": ready, "lastHeartbeatTime": w.programs.heartbeat(name).UTC().Format(time.RFC3339)}}},
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
		answer(out, w.objects[name])
	})
	mux.HandleFunc("PATCH /api/v1/nodes/{name}", func(out http.ResponseWriter, r *http.Request) {
		w.pass()
		w.mu.Lock()
		defer w.mu.Unlock()
		var patch struct{ Spec struct{ Unschedulable bool } }
		if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
			panic(err)
		}
		if patch.Spec.Unschedulable {
			w.cordoned = append(w.cordoned, r.PathValue("name"))
		}
		w.objects[r.PathValue("name")].Spec.Unschedulable = patch.Spec.Unschedulable
		answer(out, object{"kind": "Node", "apiVersion": "v1"})
	})
	mux.HandleFunc("PUT /api/v1/nodes/{name}", func(out http.ResponseWriter, r *http.Request) {
		w.pass()
		w.mu.Lock()
		defer w.mu.Unlock()
		content, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(content, nil, nil)
		if err != nil {
			panic(err)
		}
		w.objects[r.PathValue("name")] = decoded.(*corev1.Node)
		answer(out, decoded)
	})
	mux.HandleFunc("DELETE /api/v1/nodes/{name}", func(out http.ResponseWriter, r *http.Request) {
		w.pass()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.deleted = append(w.deleted, r.PathValue("name"))
		delete(w.nodes, r.PathValue("name"))
		delete(w.objects, r.PathValue("name"))
		answer(out, object{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	})
	mux.HandleFunc("GET /api/v1/persistentvolumes", func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		items := []object{}
		for node, claim := range w.claims {
			term := object{"matchExpressions": []object{{"key": "kubernetes.io/hostname", "operator": "In", "values": []string{node}}}}
			items = append(items, object{"metadata": object{"name": claim}, "spec": object{
				"claimRef":     object{"namespace": "default", "name": claim},
				"nodeAffinity": object{"required": object{"nodeSelectorTerms": []object{term}}},
			}})
		}
		answer(out, object{"kind": "PersistentVolumeList", "apiVersion": "v1", "items": items})
	})
	mux.HandleFunc("POST /api/v1/namespaces/default/events", func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var event corev1.Event
		if err == nil {
			_, _, err = scheme.Codecs.UniversalDeserializer().Decode(body, nil, &event)
		}
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reported = append(w.reported, event.InvolvedObject.Kind+" "+event.InvolvedObject.Name+" "+event.Reason)
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(http.StatusCreated)
		answer(out, object{"kind": "Event", "apiVersion": "v1"})
	})
	mux.HandleFunc("GET /api/v1/pods", func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		items := []corev1.Pod{}
		for _, pod := range w.blocked {
			if r.URL.Query().Get("fieldSelector") == "spec.nodeName="+pod.Spec.NodeName {
				items = append(items, pod)
			}
		}
		answer(out, object{"kind": "PodList", "apiVersion": "v1", "items": items})
	})
	mux.HandleFunc("POST /api/v1/namespaces/{namespace}/pods/{name}/eviction", func(out http.ResponseWriter, _ *http.Request) {
		out.WriteHeader(http.StatusTooManyRequests)
		answer(out, object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests", "code": http.StatusTooManyRequests})
	})
	mux.HandleFunc("GET /apis/policy/v1/poddisruptionbudgets", func(out http.ResponseWriter, _ *http.Request) {
		answer(out, object{"kind": "PodDisruptionBudgetList", "apiVersion": "policy/v1", "items": []object{{
			"metadata": object{"name": "db", "namespace": "default"}, "spec": object{"selector": object{}},
			"status": object{"currentHealthy": 1, "desiredHealthy": 1},
		}}})
	})
	return mux
}

// rig is an environment with a daemon in this process and a client.
type rig struct {
	*environment
	home   home.Home
	client *client.Client
	spec   cluster.Spec
	images string // the directory with the node image
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
	r := &rig{environment: w, home: h, spec: spec, images: images, ended: make(chan error, 1), stop: cancel}
	r.client = client.New(client.Config{Home: h, Name: spec.Name, ImageDir: images, Command: []string{"false"}, Host: roomy})
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
