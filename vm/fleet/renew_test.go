package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/driver/fake"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/edge"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network/resolver"
	"github.com/skiff-dev/skiff/vm/records/metrics"
	"github.com/skiff-dev/skiff/vm/standby"
)

// fakeNode holds certificates, presents them and accepts new ones.
type fakeNode struct {
	mu     sync.Mutex // guards the fields below
	files  pki.Files
	ahead  time.Duration // of its clock
	clocks int           // how often its clock was set
	seeds  int
	host   nodeconfig.Host
	silent bool // it takes over the host's settings, but its answer is lost
}

func (n *fakeNode) take(files map[string][]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files = pki.Merge(n.files, files)
}

func (n *fakeNode) held() pki.Files {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.files)
}

// listen serves TLS with a leaf of the node's files, for clients of authority.
func (n *fakeNode) listen(t *testing.T, leaf, authority string, handler http.Handler) net.Listener {
	t.Helper()
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(n.held()[authority+".crt"])
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			files := n.held()
			pair, err := tls.X509KeyPair(files[leaf+".crt"], files[leaf+".key"])
			return &pair, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener
}

func (n *fakeNode) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+nodeapi.PathFiles, func(w http.ResponseWriter, r *http.Request) {
		var request nodeapi.FilesRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n.take(request.Files)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET "+nodeapi.PathStatus, func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		status := nodeapi.Status{Time: time.Now().Add(n.ahead)}
		n.mu.Unlock()
		for _, name := range []string{"etcd/peer", "apiserver"} {
			block, _ := pem.Decode(n.held()[name+".crt"])
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			status.Certificates = append(status.Certificates, nodeapi.Certificate{Name: name, Expires: certificate.NotAfter})
		}
		_ = json.NewEncoder(w).Encode(status)
	})
	mux.HandleFunc("POST "+nodeapi.PathClock, func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.clocks++
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+nodeapi.PathHost, func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.host = nodeconfig.Host{}
		if err := json.NewDecoder(r.Body).Decode(&n.host); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if n.silent {
			http.Error(w, "lost", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// openAt returns a cluster of one control plane, all of whose certificates were
// made at the given time, and that node.
func openAt(t *testing.T, made time.Time) (*Fleet, *fakeNode) {
	t.Helper()
	dir := home.Home(t.TempDir()).Cluster("old")
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	creds, err := credentials.OpenStore(dir.PKI(), made)
	if err != nil {
		t.Fatal(err)
	}
	spec := cluster.Default()
	spec.Name, spec.Workers = "old", 0
	n := &fakeNode{}
	driver := &fake.Driver{Reseeded: func(string, []byte) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.seeds++
	}}
	f := prepared(t, dir, creds, spec, driver)
	first := cluster.Nodes(spec, nil)[0]
	document, err := f.documents.node(first, made)
	if err != nil {
		t.Fatal(err)
	}
	n.take(document.Files)
	f.machines.issued.replaced(first.Address.Addr(), document.Files)
	for _, err := range []error{driver.Create(t.Context(), machine.Machine{Name: first.Name}), driver.Start(t.Context(), machine.Machine{Name: first.Name})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	nodeAPI := n.listen(t, "node-api", "host-ca", n.api())
	f.machines.reach = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, nodeAPI.Addr().String())
	}
	f.nodes = newNodes(f.core)
	t.Cleanup(f.nodes.pool.CloseIdleConnections)
	if f.api, err = newAPIServers(f.core, n.listen(t, "apiserver", "ca", http.NotFoundHandler())); err != nil {
		t.Fatal(err)
	}
	f.renewals, f.stalls, f.repairs = newRenewals(f.core), &stalls{f.core}, openRepairs(dir.Repairs())
	return f, n
}

// prepared returns a Fleet as it is before it has connected to anything.
func prepared(t *testing.T, dir home.Cluster, creds *credentials.Store, spec cluster.Spec, driver *fake.Driver) *Fleet {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	f := &Fleet{parts: newParts(t.Context(), log), metrics: metrics.New(metrics.Config{Log: log}), repairs: openRepairs(dir.Repairs()), scaler: newScaler(dir.Scalings())}
	t.Cleanup(func() { f.parts.close() })
	f.core = core{
		dir: dir, log: log, limits: Limits{}.withDefaults(), credentials: creds,
		state:  &store{path: dir.State(), state: cluster.State{Spec: spec, Machines: cluster.Remember(nil, spec)}},
		active: &activeFaults{}, standby: standby.New(),
	}
	f.machines = newMachines(drivers.Machines{Driver: driver}, f.active, f.parts, log)
	f.documents = &documents{state: f.state, credentials: creds, search: resolver.NewSearch(filepath.Join(t.TempDir(), "none"))}
	f.edge = edge.New(edge.Config{Spec: f.state.spec})
	f.tunnel = newTunnel(f.core)
	f.faults = newFaults(f)
	return f
}

// hostCertificate returns the certificate that the host presents to nodes.
func (f *Fleet) hostCertificate(t *testing.T) []byte {
	t.Helper()
	pair, err := f.credentials.Current().Pair(credentials.Host)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Certificate[0]
}

func TestCertificatesOfAPausedClusterAreRenewedAfterItResumes(t *testing.T) {
	f, n := openAt(t, time.Now().Add(-pki.LeafLifetime*3/5))
	f.renewals.woken = make(chan struct{}) // received only when the previous renewal is over
	runtest.Start(t, f.renewals.run)
	before := f.hostCertificate(t)
	seeds := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.seeds
	}
	name := f.state.desired()[0].Name
	if err := f.machines.driver.Pause(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	f.renewals.woken <- struct{}{}
	f.renewals.woken <- struct{}{}
	if seeds() != 0 || !bytes.Equal(f.hostCertificate(t), before) {
		t.Error("certificates of a paused cluster were renewed")
	}
	if err := f.machines.driver.Resume(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	f.renewals.woken <- struct{}{}
	f.renewals.woken <- struct{}{}
	if seeds() != 1 || bytes.Equal(f.hostCertificate(t), before) {
		t.Errorf("after the resume the node got %d new seeds, want 1", seeds())
	}
}

func TestCertificatesAreRenewedWhileANodeRuns(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		age  time.Duration
		want bool
	}{
		"new":                         {time.Minute, false},
		"a third of their lifetime":   {pki.LeafLifetime / 3, false},
		"two fifths before their end": {pki.LeafLifetime * 3 / 5, true},
		"expired while all slept":     {2 * pki.LeafLifetime, true},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := openAt(t, now.Add(-tt.age))
			before, host := n.held(), f.hostCertificate(t)
			for range 2 { // the second finds nothing to do
				if err := f.renewals.renew(t.Context(), now); err != nil {
					t.Fatal(err)
				}
			}
			after := n.held()
			for path := range before {
				changed := string(before[path]) != string(after[path])
				renewable := slices.Contains([]string{".crt", ".key"}, filepath.Ext(path)) && !slices.Contains([]string{
					"ca.crt", "ca.key", "host-ca.crt", "front-proxy-ca.crt", "etcd/ca.crt", "cloud-ca.crt", "sa.key", pki.SignerFile,
				}, path)
				if changed != (tt.want && renewable) {
					t.Errorf("%s: changed is %t", path, changed)
				}
			}
			if changed := !bytes.Equal(f.hostCertificate(t), host); changed != tt.want {
				t.Errorf("the host's certificate: changed is %t", changed)
			}
			if made := map[bool]int{true: 1}[tt.want]; n.seeds != made {
				t.Errorf("reseeded %d times, want %d", n.seeds, made)
			}
			for _, leaf := range []string{"node-api.crt", "etcd/peer.crt", "proxy.crt", "kubelet.crt"} {
				if pki.Stale(after[leaf], now) {
					t.Errorf("%s is stale", leaf)
				}
			}
		})
	}
}

func TestAnExpiredCertificateIsAcceptedOnlyUntilItIsReplaced(t *testing.T) {
	now := time.Now()
	f, n := openAt(t, now.Add(-2*pki.LeafLifetime))
	address := f.state.desired()[0].Address.Addr()
	old := n.held()
	if err := f.renewals.renew(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if _, err := f.nodes.pool.Certificate(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	n.take(old) // somebody has kept the key
	if _, err := f.nodes.pool.Certificate(t.Context(), address); err == nil {
		t.Error("an expired certificate was accepted after it had been replaced")
	}
}

func TestStatusReportsCertificatesThatExpireSoon(t *testing.T) {
	const day = 24 * time.Hour
	for rest, reported := range map[time.Duration]bool{300 * day: false, 31 * day: false, 29 * day: true} {
		made := time.Now().Add(rest - pki.LeafLifetime)
		f, _ := openAt(t, made)
		status := f.Status(t.Context())
		held := status.Nodes[0].Certificates
		if len(held) != 2 || held[0].Name != "etcd/peer" || held[0].Expires.Sub(made.Add(pki.LeafLifetime)).Abs() > time.Second {
			t.Errorf("%s before the end the node holds %v", rest, held)
		}
		text := strings.Join(status.Problems, "\n")
		if want := "etcd/peer of control-plane-1 expires on " + made.Add(pki.LeafLifetime).UTC().Format(time.DateOnly); strings.Contains(text, want) != reported {
			t.Errorf("%s before the end, %q is in %q: %t", rest, want, text, !reported)
		}
	}
}
