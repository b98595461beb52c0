package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/test/e2e/probe"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// TestMain also serves as the probe, which testPorts runs on nodes.
func TestMain(m *testing.M) {
	if os.Getenv(probe.Variable) == "" {
		os.Exit(m.Run())
	}
	if err := probe.Main(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// port is a port that a node is expected to listen on.
type port struct {
	name string
	// number is 0 for any port of program.
	number   uint16
	network  string
	loopback bool // bound to 127.0.0.1, not to the address of the node
	program  string
	// clear is set for ports without TLS.
	clear bool
	// open are paths that need no credentials. closed are paths that need the right
	// certificate, with the expected status otherwise; 0 means that the connection
	// is refused.
	open   []string
	closed map[string]int
	// admits are the accepted credentials. A request for proof with the first of them
	// must succeed, which shows that the other requests reached the server.
	admits []string
	proof  string
	// grpc is set if proof is answered as a request that is not one of gRPC.
	grpc bool
	// ownAddress is set if credentials are accepted only from the address that they are for.
	ownAddress bool
}

// Names of the credentials that are tried at every port.
const (
	asNobody   = "nobody"
	asForeign  = "another cluster's "
	asKubelet  = "a kubelet"
	asHost     = "the host"
	asAdmin    = "the administrator"
	asEtcd     = "a client of etcd"
	asMember   = "a member of etcd"
	asProxying = "the front proxy"
	claiming   = " that claims to be another"
)

// knownPorts returns all ports that a node may listen on. Any other port fails the
// test.
func knownPorts(role nodeconfig.Role) []port {
	public := []string{"/livez", "/readyz", "/healthz", "/version"}
	api := map[string]int{"/api": 401, "/metrics": 401, "/api/v1/secrets": 401, "/readyz/etcd": 401, "/debug/pprof/": 401}
	server := []string{asAdmin, asKubelet}
	ports := []port{
		{name: "node API", number: nodeconfig.PortNodeAPI, closed: map[string]int{"/v1/status": 0, "/v1/logs?source=init": 0}, admits: []string{asHost}, proof: "/v1/status"},
		{name: "kubelet", number: 10250, closed: map[string]int{"/pods": 401, "/metrics": 401, "/configz": 401, "/healthz": 401, "/runningpods/": 401}, admits: []string{asAdmin}, proof: "/healthz"},
		{name: "kubelet's health", number: 10248, loopback: true, clear: true, open: []string{"/healthz"}, closed: map[string]int{"/pods": 404, "/metrics": 404, "/debug/pprof/": 404}},
		{name: "service proxy's health", number: 10256, loopback: true, clear: true, open: []string{"/healthz"}, closed: map[string]int{"/metrics": 404, "/debug/pprof/": 404}},
		// Upstream cannot disable this port. It serves metrics and settings of the proxy
		// on the loopback of the node, without secrets.
		{name: "service proxy's metrics", number: 10249, loopback: true, clear: true, open: []string{"/metrics", "/proxyMode"}, closed: map[string]int{"/debug/pprof/": 404, "/logs": 404}},
		{name: "API load balancer", number: nodeconfig.PortAPILoadBalancer, loopback: true, open: public, closed: api, admits: server, proof: "/api"},
		{name: "cluster DNS", number: 53, program: "skiff-nodeagent"},
		{name: "cluster DNS", number: 53, network: "udp", program: "skiff-nodeagent"},
		// Streams have a random token in their URL, which only the kubelet gets.
		{name: "containerd's streams", loopback: true, clear: true, program: "containerd", closed: map[string]int{"/": 404, "/exec/x": 404, "/debug/pprof/": 404}},
	}
	if role == nodeconfig.RoleControlPlane {
		etcd := map[string]int{"/version": 0, "/health": 0, "/metrics": 0, "/v3/kv/range": 0, "/debug/pprof/": 0}
		ports = append(ports,
			port{name: "Kubernetes API", number: nodeconfig.PortKubernetes, open: public, closed: api, admits: server, proof: "/api"},
			port{name: "etcd's clients", number: nodeconfig.PortEtcdClient, closed: etcd, admits: []string{asEtcd, asMember}, proof: "/etcdserverpb.KV/Range", grpc: true},
			port{name: "etcd's peers", number: nodeconfig.PortEtcdPeer, closed: etcd, admits: []string{asMember}, proof: "/members", ownAddress: true},
		)
	}
	return ports
}

// matches reports whether a listener is this port.
func (p port) matches(l probe.Listener, own netip.Addr) bool {
	network := p.network
	if network == "" {
		network = "tcp"
	}
	at := own
	if p.loopback {
		at = netip.MustParseAddr("127.0.0.1")
	}
	return l.Network == network && l.Address.Addr() == at && (p.number == 0 || p.number == l.Address.Port()) &&
		(p.program == "" || strings.HasPrefix(p.program, l.Program) && l.Program != "")
}

type credential struct {
	name             string
	certificate, key []byte
	header           map[string]string
}

// credentials returns no credentials, those of another cluster, and those of this
// cluster for a single purpose each.
func (r *rig) credentials(t *testing.T, cluster string) []credential {
	t.Helper()
	now := time.Now()
	own, err := pki.ReadFiles(home.Home(r.home).Cluster(cluster).PKI())
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.Authorities(now)
	if err != nil {
		t.Fatal(err)
	}
	first := netip.MustParseAddr(r.status(t, cluster).Nodes[0].Address)
	all := []credential{{name: asNobody}, {name: "a wrong token", header: map[string]string{"Authorization": "Bearer abcdef.0123456789abcdef"}}}
	for prefix, authorities := range map[string]pki.Files{"": own, asForeign: other} {
		host, err := pki.Host(authorities, now)
		if err != nil {
			t.Fatal(err)
		}
		member, err := pki.ControlPlane(authorities, pki.Node{Cluster: cluster, Name: "control-plane-9", Address: first, Domain: "cluster.local"}, now)
		if err != nil {
			t.Fatal(err)
		}
		kubelet, key, err := pki.Client(authorities, names.UserNodePrefix+"worker-9", []string{names.GroupNodes}, time.Hour, now)
		if err != nil {
			t.Fatal(err)
		}
		claim := map[string]string{"X-Remote-User": names.UserAdmin, "X-Remote-Group": "system:masters"}
		for name, files := range map[string][2][]byte{
			asHost: {host["host.crt"], host["host.key"]}, asAdmin: {host["admin.crt"], host["admin.key"]},
			asEtcd:     {member["apiserver-etcd-client.crt"], member["apiserver-etcd-client.key"]},
			asMember:   {member["etcd/peer.crt"], member["etcd/peer.key"]},
			asProxying: {member["front-proxy-client.crt"], member["front-proxy-client.key"]},
			asKubelet:  {kubelet, key},
		} {
			all = append(all, credential{name: prefix + name, certificate: files[0], key: files[1]})
			// Only the front proxy may impersonate users with these headers.
			if prefix+name != asProxying {
				all = append(all, credential{name: prefix + name + claiming, certificate: files[0], key: files[1], header: claim})
			}
		}
	}
	return all
}

// probe runs this test program on a node.
func (r *rig) probe(t *testing.T, cluster, node string, asks []probe.Ask) probe.Report {
	t.Helper()
	input, err := json.Marshal(asks)
	if err != nil {
		t.Fatal(err)
	}
	out := r.pipe(t, bytes.NewReader(input), "shell", "--cluster", cluster, node, "--", "env", probe.Variable+"=1", probePath)
	var report probe.Report
	if err := json.Unmarshal(out, &report); err != nil || len(report.Answers) != len(asks) {
		t.Fatalf("probe of %s: %v\n%s", node, err, out)
	}
	return report
}

const probePath = "/run/skiff-probe"

// pipe runs bin/skiff with standard input.
func (r *rig) pipe(t *testing.T, in *bytes.Reader, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(r.root, "bin/skiff"), args...)
	command.Env, command.Stdin, command.WaitDelay = r.env, in, 5*time.Second
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		t.Fatalf("skiff %s: %v\n%s%s", strings.Join(args, " "), err, out, failure.String())
	}
	return out
}

// testPorts checks that every listening port rejects requests without credentials
// and with wrong ones, from the node itself and from another node.
func testPorts(t *testing.T, r *rig, cluster string) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	credentials := r.credentials(t, cluster)
	var remote []target
	nodes := r.status(t, cluster).Nodes
	for _, n := range nodes {
		r.pipe(t, bytes.NewReader(content), "shell", "--cluster", cluster, n.Name, "--", "sh", "-c", "cat >"+probePath+" && chmod 700 "+probePath)
		own := netip.MustParseAddr(n.Address)
		targets := r.targets(t, cluster, n.Name, own, knownPorts(nodeconfig.Role(n.Role)))
		r.tryAll(t, cluster, n, targets, credentials)
		for _, target := range targets {
			if !target.port.loopback {
				remote = append(remote, target)
			}
		}
	}
	last := nodes[len(nodes)-1]
	r.tryAll(t, cluster, last, remote, credentials)
	for _, n := range nodes {
		r.skiff(t, "shell", "--cluster", cluster, n.Name, "--", "rm", probePath)
	}
	r.tryHost(t, cluster, credentials)
}

// target is a known port at an address.
type target struct {
	port    port
	address netip.AddrPort
}

// targets returns the known ports that a node listens on. The test fails for
// unknown and for missing ports.
func (r *rig) targets(t *testing.T, cluster, node string, own netip.Addr, known []port) []target {
	t.Helper()
	var targets []target
	seen := map[string]bool{}
	for _, l := range r.probe(t, cluster, node, []probe.Ask{}).Listeners {
		found := nodePort(l)
		for _, p := range known {
			if found {
				break
			}
			if found = p.matches(l, own); found {
				seen[p.name+p.network] = true
				if l.Network == "tcp" {
					targets = append(targets, target{p, l.Address})
				}
				break
			}
		}
		if !found {
			t.Errorf("%s listens on %s %s (%s), which is not a known port", node, l.Network, l.Address, l.Program)
		}
	}
	for _, p := range known {
		if !seen[p.name+p.network] {
			t.Errorf("%s does not listen on the port of %s", node, p.name)
		}
	}
	return targets
}

// nodePort reports whether a listener is the node port of a service, which is as open
// as the service.
func nodePort(l probe.Listener) bool {
	return l.Address.Addr().IsLoopback() && l.Address.Port() >= 30000 && l.Address.Port() <= 32767 &&
		l.Program != "" && strings.HasPrefix("skiff-nodeagent", l.Program)
}

// attempt is an Ask with the expected result.
type attempt struct {
	what string
	ask  probe.Ask
	want []int // accepted statuses; 0 is no answer
}

// attempts returns the attempts for one port from an address.
func (x target) attempts(from netip.Addr, credentials []credential) []attempt {
	var all []attempt
	try := func(what string, ask probe.Ask, want ...int) {
		ask.Address = x.address
		all = append(all, attempt{what: fmt.Sprintf("%s (%s) for %s %s", x.port.name, x.address, ask.Path, what), ask: ask, want: want})
	}
	for _, path := range x.port.open {
		try("without credentials", probe.Ask{Path: path, Clear: x.port.clear}, 200)
	}
	for path, refused := range x.port.closed {
		if x.port.clear {
			try("without credentials", probe.Ask{Path: path, Clear: true}, refused, 404)
			continue
		}
		try("without TLS", probe.Ask{Path: path, Clear: true}, 0, 400)
		try("with TLS 1.2", probe.Ask{Path: path, OldTLS: true}, 0)
		for _, c := range credentials {
			if !x.admitted(from, c) {
				try("by "+c.name, probe.Ask{Path: path, Certificate: c.certificate, Key: c.key, Header: c.header}, 0, refused, 403)
			}
		}
	}
	for _, c := range credentials {
		if len(x.port.admits) > 0 && c.name == x.port.admits[0] && x.admitted(from, c) {
			want := http.StatusOK
			if x.port.grpc {
				want = http.StatusUnsupportedMediaType
			}
			try("by "+c.name, probe.Ask{Path: x.port.proof, Certificate: c.certificate, Key: c.key, HTTP2: x.port.grpc}, want)
		}
	}
	return all
}

// admitted reports whether a credential is accepted from an address.
func (x target) admitted(from netip.Addr, c credential) bool {
	if x.port.ownAddress && from != x.address.Addr() {
		return false
	}
	return slices.ContainsFunc(x.port.admits, func(name string) bool { return c.name == name || c.name == name+claiming })
}

func (r *rig) tryAll(t *testing.T, cluster string, from daemonapi.NodeStatus, targets []target, credentials []credential) {
	t.Helper()
	var all []attempt
	for _, x := range targets {
		all = append(all, x.attempts(netip.MustParseAddr(from.Address), credentials)...)
	}
	var asks []probe.Ask
	for _, a := range all {
		asks = append(asks, a.ask)
	}
	for i, answer := range r.probe(t, cluster, from.Name, asks).Answers {
		all[i].check(t, "from "+from.Name, answer)
	}
	t.Logf("from %s: %d attempts at %d ports", from.Name, len(all), len(targets))
}

func (a attempt) check(t *testing.T, from string, answer probe.Answer) {
	t.Helper()
	if !slices.Contains(a.want, answer.Status) {
		t.Errorf("%s %s: got %+v, want %v", a.what, from, answer, a.want)
	}
}

// tryHost checks that the host only listens on the API load balancer for the
// cluster and on the web entry of all clusters, and tries the former.
func (r *rig) tryHost(t *testing.T, cluster string, credentials []credential) {
	t.Helper()
	status := r.status(t, cluster)
	balancer := netip.MustParseAddrPort(strings.TrimPrefix(status.Server, "https://"))
	web := []string{portOf(t, status.Web), portOf(t, status.WebTLS)}
	// Load balancers of earlier tests listen until their namespaces are deleted.
	eventually(t, waitLimit, "the daemon listens where it should, and only there", func() error {
		listeners, err := probe.Listeners("/proc")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, l := range listeners {
			switch {
			case l.Network == "tcp" && l.Address == balancer:
				found = true
			case l.Network == "tcp" && l.Address.Addr().IsLoopback() && slices.Contains(web, fmt.Sprint(l.Address.Port())):
				// testWeb shows what the web entry answers.
			case l.PID == status.DaemonPID:
				return fmt.Errorf("it listens on %s %s", l.Network, l.Address)
			}
		}
		if !found {
			return fmt.Errorf("nothing listens on %s", balancer)
		}
		return nil
	})
	x := target{address: balancer}
	for _, p := range knownPorts(nodeconfig.RoleControlPlane) {
		if p.number == nodeconfig.PortKubernetes {
			x.port = p
		}
	}
	all := x.attempts(balancer.Addr(), credentials)
	for _, a := range all {
		a.check(t, "from the host", a.ask.Do())
	}
	t.Logf("from the host: %d attempts", len(all))
}
