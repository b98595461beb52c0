// Package etcd keeps a control plane's share of the cluster's state: one
// embedded etcd member, reached by its own process in memory and by other
// members over mutual TLS only.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	etcdtransport "go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// quotaBytes bounds the database; a laptop's cluster needs a hundredth of it.
const quotaBytes = 2 << 30

// pace is how long members wait for each other. A member that is alone leads one
// tick after it has read its log, so a short tick lets it start sooner. Members of
// a cluster must ride out a busy laptop's stalls. The time until an election is the
// same for both, since a member that was alone keeps its own when others join.
type pace struct{ sole, member, election time.Duration }

// paceOf is upstream's for machines that run as fast as the host. Emulated ones on
// a busy host kept losing their leader by it and took no writes.
func paceOf(emulated bool) pace {
	if emulated {
		return pace{sole: 100 * time.Millisecond, member: 500 * time.Millisecond, election: 5 * time.Second}
	}
	return pace{sole: 50 * time.Millisecond, member: 100 * time.Millisecond, election: time.Second}
}

const (
	snapshotCount                = 5000
	snapshotCatchUp              = 2000
	compactionMode               = "periodic"
	compactionRetention          = "5m"
	stateDirMode                 = 0o700
	tlsMinVersion                = "TLS1.3"
	logLevel                     = "warn"
	warningApplyDuration         = time.Second
	backendBatchInterval         = 100 * time.Millisecond
	bootstrapDefragThresholdMega = 64
)

// Settings are what a member needs to know.
type Settings struct {
	// Cluster names the cluster; members of different clusters refuse each other.
	Cluster string
	// Name and Address are this member's.
	Name    string
	Address netip.Addr
	// Members form or join the cluster, this one included.
	Members []nodeconfig.Peer
	// Join is true for a member of a cluster that exists already: without data it
	// asks the others to let it in, and never forms a cluster of its own.
	Join bool
	// Emulated says that the machines are, which makes members more patient.
	Emulated bool
	// Dir holds the data, mode 0700.
	Dir string
	// PKIDir holds etcd/ca.crt, etcd/server.crt|key and etcd/peer.crt|key.
	PKIDir string
	// ClientPort and PeerPort default to those of nodeconfig.
	ClientPort, PeerPort int
	// QuotaBytes is how large the database may become; 0 is 2 GiB.
	QuotaBytes int64

	// by names the only member to join by; any if it is empty.
	by string
}

// Config is how etcd is embedded for s.
func Config(s Settings) (*embed.Config, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	c := embed.NewConfig()
	c.Name, c.Dir = s.Name, s.Dir
	c.InitialClusterToken = "skiff-" + s.Cluster
	c.InitialCluster = s.initialCluster()
	client, peer := s.url(s.Address, s.clientPort()), s.url(s.Address, s.peerPort())
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.ClientTLSInfo = s.tls("server")
	c.PeerTLSInfo = s.tls("peer")
	c.TlsMinVersion = tlsMinVersion

	c.QuotaBackendBytes = quotaBytes
	if s.QuotaBytes != 0 {
		c.QuotaBackendBytes = s.QuotaBytes
	}
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotCount, snapshotCatchUp
	c.AutoCompactionMode, c.AutoCompactionRetention = compactionMode, compactionRetention
	c.BackendBatchInterval = backendBatchInterval
	c.BootstrapDefragThresholdMegabytes = bootstrapDefragThresholdMega
	p := paceOf(s.Emulated)
	tick := p.member
	if len(s.Members) == 1 {
		tick = p.sole
	}
	c.TickMs, c.ElectionMs = uint(tick.Milliseconds()), uint(p.election.Milliseconds())

	c.LogLevel, c.LogOutputs = logLevel, []string{"stderr"}
	c.WarningApplyDuration = warningApplyDuration
	c.EnableGRPCGateway = false
	c.CORS, c.HostWhitelist = nil, nil
	return c, nil
}

func (s Settings) validate() error {
	if s.Name == "" || s.Cluster == "" || s.Dir == "" || s.PKIDir == "" {
		return fmt.Errorf("etcd member needs a name, a cluster, a data and a PKI directory, got %q, %q, %q and %q", s.Name, s.Cluster, s.Dir, s.PKIDir)
	}
	if !s.Address.IsValid() {
		return fmt.Errorf("etcd member %s has no address", s.Name)
	}
	for _, m := range s.Members {
		if m.Name == s.Name {
			if m.Address != s.Address {
				return fmt.Errorf("etcd member %s is at %s, the list of members says %s", s.Name, s.Address, m.Address)
			}
			return nil
		}
	}
	return fmt.Errorf("etcd member %s is not in the list of members", s.Name)
}

func (s Settings) initialCluster() string {
	var members []string
	for _, m := range s.Members {
		u := s.url(m.Address, s.peerPort())
		members = append(members, m.Name+"="+u.String())
	}
	return strings.Join(members, ",")
}

func (s Settings) url(address netip.Addr, port int) url.URL {
	return url.URL{Scheme: "https", Host: net.JoinHostPort(address.String(), strconv.Itoa(port))}
}

func (s Settings) clientPort() int {
	if s.ClientPort != 0 {
		return s.ClientPort
	}
	return nodeconfig.PortEtcdClient
}

func (s Settings) peerPort() int {
	if s.PeerPort != 0 {
		return s.PeerPort
	}
	return nodeconfig.PortEtcdPeer
}

// client makes a client of one member's client port, over mutual TLS.
func (s Settings) client(address netip.Addr) (*clientv3.Client, error) {
	tls, err := etcdtransport.TLSInfo{
		CertFile:      filepath.Join(s.PKIDir, "apiserver-etcd-client.crt"),
		KeyFile:       filepath.Join(s.PKIDir, "apiserver-etcd-client.key"),
		TrustedCAFile: filepath.Join(s.PKIDir, "etcd", "ca.crt"),
	}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load the certificate of etcd's clients: %w", err)
	}
	endpoint := s.url(address, s.clientPort())
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint.String()}, TLS: tls, DialTimeout: askTimeout, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("make a client of etcd: %w", err)
	}
	return c, nil
}

func (s Settings) tls(name string) etcdtransport.TLSInfo {
	return etcdtransport.TLSInfo{
		CertFile:       filepath.Join(s.PKIDir, "etcd", name+".crt"),
		KeyFile:        filepath.Join(s.PKIDir, "etcd", name+".key"),
		TrustedCAFile:  filepath.Join(s.PKIDir, "etcd", "ca.crt"),
		ClientCertAuth: true,
	}
}

// Member is a running etcd member.
type Member struct {
	etcd      *embed.Etcd
	memory    *transport.Listener
	server    *grpc.Server
	elections *elections
	gate      *gate
	unfollow  func() // ends what follows announcements
}

// Start starts a member and returns before it serves; see Ready. One that is to
// join a cluster is let in first and has a vote when Start returns, which lasts
// until others answer or ctx ends. Whoever starts it stops it.
func Start(ctx context.Context, s Settings, log *slog.Logger) (*Member, error) {
	if err := s.obey(); err != nil {
		return nil, err
	}
	config, err := Config(s)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Dir, stateDirMode); err != nil {
		return nil, fmt.Errorf("make etcd's data directory: %w", err)
	}
	if err := os.Chmod(s.Dir, stateDirMode); err != nil {
		return nil, fmt.Errorf("make etcd's data directory private: %w", err)
	}
	if s.Join && !hasData(s.Dir) {
		if config.InitialCluster, err = s.join(ctx, log); err != nil {
			return nil, err
		}
		config.ClusterState = embed.ClusterStateFlagExisting
	}
	running, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	m := &Member{
		etcd:   running,
		memory: transport.NewListener(), server: v3rpc.Server(running.Server, nil, nil),
		elections: newElections(), gate: &gate{},
	}
	m.unfollow = m.followHandovers(s.Name)
	go m.elections.follow(running.Server.LeaderChangedNotify, running.Server.StoppingNotify())
	go m.server.Serve(m.memory) //nolint:errcheck // ends with Stop, whose caller knows
	if err := errors.Join(m.vote(ctx, s, log), s.joined()); err != nil {
		m.Stop()
		return nil, err
	}
	return m, nil
}

// vote returns when the member has a vote. Whether it has one is known once it
// has read its log or heard of the others.
func (m *Member) vote(ctx context.Context, s Settings, log *slog.Logger) error {
	if !s.Join {
		return nil
	}
	if err := m.Ready(ctx); err != nil {
		return err
	}
	if !m.etcd.Server.IsLearner() {
		return nil
	}
	return s.promote(ctx, uint64(m.etcd.Server.MemberID()), log)
}

// Alone says whether the cluster has no other member, learners included.
func (m *Member) Alone() bool { return len(m.etcd.Server.Cluster().Members()) < 2 }

// Alarms are those of all members, in etcd's words: "NOSPACE", "CORRUPT".
func (m *Member) Alarms() []string {
	var names []string
	for _, a := range m.etcd.Server.Alarms() {
		names = append(names, a.Alarm.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// NewClient makes a client that reaches this member by function calls; it must
// be closed before the member stops. Its transactions fail with
// rpctypes.ErrTimeoutDueToLeaderFail soon after an election, if they were under
// way before and are not done by then.
func (m *Member) NewClient() *clientv3.Client {
	c := v3client.New(m.etcd.Server)
	c.KV = impatient{c.KV, m.elections, m.gate}
	return c
}

// Dial connects to the member's gRPC services in memory, for libraries that
// must make their own client.
func (m *Member) Dial(ctx context.Context) (net.Conn, error) { return m.memory.Dial(ctx) }

// Ready returns when the member serves, or with why it does not.
func (m *Member) Ready(ctx context.Context) error {
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case <-m.etcd.Server.StopNotify():
		return errors.New("etcd stopped before it was ready")
	case err := <-m.etcd.Err():
		return fmt.Errorf("serve etcd: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Failed delivers the error that ends the member on its own.
func (m *Member) Failed() <-chan error { return m.etcd.Err() }

// followHandovers holds transactions back while a change of leadership is
// announced, until it is stopped.
func (m *Member) followHandovers(name string) (stop func()) {
	c := v3client.New(m.etcd.Server)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.gate.follow(ctx, c, name)
	}()
	return func() {
		cancel()
		<-done
		_ = c.Close()
	}
}

// Stop closes the member; its data is complete on disk when it returns.
func (m *Member) Stop() {
	m.unfollow()
	m.server.Stop()
	m.etcd.Close()
}
