// Package etcd embeds one etcd member in a control plane. Its own process reaches
// the member in memory, other members reach it over mutual TLS only.
package etcd

import (
	"context"
	"crypto/tls"
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
	"go.etcd.io/etcd/pkg/v3/featuregate"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/features"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// quotaBytes bounds the database. A typical cluster on a laptop uses 1 % of it.
const quotaBytes = 2 << 30

// timing holds the raft intervals of a member.
type timing struct{ tick, election time.Duration }

// timingFor returns upstream's defaults, except for emulated machines: with those,
// members on a busy host kept losing their leader and accepted no writes.
func timingFor(emulated bool) timing {
	if emulated {
		return timing{tick: 500 * time.Millisecond, election: 5 * time.Second}
	}
	return timing{tick: 100 * time.Millisecond, election: time.Second}
}

const (
	snapshotCount   = 5000
	snapshotCatchUp = 2000
	// Revisions live between once and 2.1 times the retention. As with upstream's
	// five minutes, a list's continue token must have expired after ten minutes.
	compactionMode               = "periodic"
	compactionRetention          = "4m30s"
	stateDirMode                 = 0o700
	logLevel                     = "warn"
	warningApplyDuration         = time.Second
	backendBatchInterval         = 100 * time.Millisecond
	bootstrapDefragThresholdMega = 64
)

// Settings of a member.
type Settings struct {
	// Cluster is the name of the cluster. Members of different clusters reject each
	// other.
	Cluster string
	// Name and Address of this member.
	Name    string
	Address netip.Addr
	// Members of the cluster, including this one.
	Members []nodeconfig.Peer
	// Join is true if the cluster exists already. A member without data then asks
	// the others to add it, and never forms a cluster of its own.
	Join bool
	// Emulated is true for emulated machines, which need longer timeouts.
	Emulated bool
	// Dir is the data directory, mode 0700.
	Dir string
	// PKIDir holds etcd/ca.crt, etcd/server.crt|key and etcd/peer.crt|key.
	PKIDir string
	// ClientPort and PeerPort default to those of nodeconfig.
	ClientPort, PeerPort int
	// QuotaBytes bounds the size of the database; 0 means 2 GiB.
	QuotaBytes int64

	// by is the name of the only member to ask when joining; any if empty.
	by string
	// hashCheck is how often the leader compares the members' data; 0 means a minute.
	hashCheck time.Duration
	// timing is that of timingFor if zero.
	timing timing
}

// Config returns the configuration of the embedded etcd.
func Config(s Settings) (*embed.Config, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	c := embed.NewConfig()
	c.Name, c.Dir = s.Name, s.Dir
	c.InitialClusterToken = "skiff-" + s.Cluster
	c.InitialCluster = s.initialCluster()
	client, peer := s.url(s.Address, s.clientPort()), s.url(s.Address, s.peerPort())
	// The ports are those of listeners. What remains of TLS is for connections to other members.
	c.ListenClientUrls, c.AdvertiseClientUrls = nil, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = nil, []url.URL{peer}
	c.PeerTLSInfo = s.tls("peer")
	c.PeerTLSInfo.MinVersion = tls.VersionTLS13

	c.QuotaBackendBytes = quotaBytes
	if s.QuotaBytes != 0 {
		c.QuotaBackendBytes = s.QuotaBytes
	}
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotCount, snapshotCatchUp
	c.AutoCompactionMode, c.AutoCompactionRetention = compactionMode, compactionRetention
	c.BackendBatchInterval = backendBatchInterval
	c.BootstrapDefragThresholdMegabytes = bootstrapDefragThresholdMega
	if err := s.checkCorruption(c); err != nil {
		return nil, err
	}
	t := timingFor(s.Emulated)
	if s.timing != (timing{}) {
		t = s.timing
	}
	c.TickMs, c.ElectionMs = uint(t.tick.Milliseconds()), uint(t.election.Milliseconds())

	c.LogLevel, c.LogOutputs = logLevel, []string{"stderr"}
	c.WarningApplyDuration = warningApplyDuration
	c.EnableGRPCGateway = false
	c.CORS, c.HostWhitelist = nil, nil
	return c, nil
}

// checkCorruption makes the leader compare the hashes that all members compute at
// each compaction, and raise the alarm CORRUPT if one differs. Upstream's check
// before a member serves stays off: members that start together would wait for each
// other until it times out (docs/decisions/0002-control-plane.md).
func (s Settings) checkCorruption(c *embed.Config) error {
	if s.hashCheck != 0 {
		c.CompactHashCheckTime = s.hashCheck
	}
	gate, ok := c.ServerFeatureGate.(featuregate.MutableFeatureGate)
	if !ok {
		return errors.New("etcd's feature gates cannot be set")
	}
	if err := gate.SetFromMap(map[string]bool{string(features.CompactHashCheck): true}); err != nil {
		return fmt.Errorf("turn on etcd's corruption check: %w", err)
	}
	return nil
}

func (s Settings) validate() error {
	if s.Name == "" || s.Cluster == "" || s.Dir == "" || s.PKIDir == "" {
		return fmt.Errorf("an etcd member needs a name, a cluster, a data directory and a PKI directory, got %q, %q, %q and %q", s.Name, s.Cluster, s.Dir, s.PKIDir)
	}
	if !s.Address.IsValid() {
		return fmt.Errorf("etcd member %s has no address", s.Name)
	}
	for _, m := range s.Members {
		if m.Name == s.Name {
			if m.Address != s.Address {
				return fmt.Errorf("etcd member %s has address %s, but the list of members has %s", s.Name, s.Address, m.Address)
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

// client returns a client of one member, over mutual TLS.
func (s Settings) client(address netip.Addr) (*clientv3.Client, error) {
	trust, err := etcdtransport.TLSInfo{
		CertFile:      filepath.Join(s.PKIDir, "apiserver-etcd-client.crt"),
		KeyFile:       filepath.Join(s.PKIDir, "apiserver-etcd-client.key"),
		TrustedCAFile: filepath.Join(s.PKIDir, "etcd", "ca.crt"),
	}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load the etcd client certificate: %w", err)
	}
	endpoint := s.url(address, s.clientPort())
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint.String()}, TLS: trust, DialTimeout: askTimeout, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("create an etcd client: %w", err)
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
	listeners *listeners
	failures  *failures
	// authorities is the sum of those that connections to other members trust.
	authorities string
	elections   *elections
	gate        *gate
	unfollow    func() // stops following announced handovers
}

// Start starts a member and returns before it serves; see Ready. If the member
// joins a cluster, Start returns once it is a voter, and waits for that until ctx
// ends. The caller must call Stop.
func Start(ctx context.Context, s Settings, log *slog.Logger) (*Member, error) {
	if held, err := s.Held(); err != nil || held != "" {
		return nil, errors.Join(fmt.Errorf("start etcd: it is held by restore %q", held), err)
	}
	if err := s.rejoin(); err != nil {
		return nil, err
	}
	config, err := Config(s)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Dir, stateDirMode); err != nil {
		return nil, fmt.Errorf("create the etcd data directory: %w", err)
	}
	if err := os.Chmod(s.Dir, stateDirMode); err != nil {
		return nil, fmt.Errorf("restrict the etcd data directory: %w", err)
	}
	if s.Join && !hasData(s.Dir) {
		if config.InitialCluster, err = s.join(ctx, log); err != nil {
			return nil, err
		}
		config.ClusterState = embed.ClusterStateFlagExisting
	}
	authorities, err := s.peerAuthorities()
	if err != nil {
		return nil, err
	}
	opened, err := s.listen()
	if err != nil {
		return nil, err
	}
	running, err := embed.StartEtcd(config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd: %w", err), opened.closeListeners())
	}
	m := &Member{
		etcd: running, listeners: opened, failures: newFailures(), authorities: authorities,
		memory: transport.NewListener(), server: v3rpc.Server(running.Server, nil, nil),
		elections: newElections(), gate: &gate{},
	}
	opened.serve(s, running, m.failures.add)
	go m.failures.follow(running.Err())
	m.unfollow = m.followHandovers(s.Name)
	go campaign(running.Server)
	go m.elections.follow(running.Server.LeaderChangedNotify, running.Server.StoppingNotify())
	go m.server.Serve(m.memory) //nolint:errcheck // ends with Stop, whose caller knows
	if err := errors.Join(m.vote(ctx, s, log), s.joined()); err != nil {
		m.Stop()
		return nil, err
	}
	return m, nil
}

// vote returns when the member is a voter. Whether it is one is known once it has
// read its log or heard from the others.
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

// Alone reports whether the cluster has no other member, including learners.
func (m *Member) Alone() bool { return len(m.etcd.Server.Cluster().Members()) < 2 }

// ClusterID returns the ID of the etcd cluster, in hexadecimal.
func (m *Member) ClusterID() string {
	return strconv.FormatUint(uint64(m.etcd.Server.Cluster().ID()), 16)
}

// Alarms returns the alarms of all members, named as in etcd: "NOSPACE", "CORRUPT".
func (m *Member) Alarms() []string {
	var names []string
	for _, a := range m.etcd.Server.Alarms() {
		names = append(names, a.Alarm.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// NewClient returns a client that calls this member in process. It must be closed
// before the member stops. A transaction that was in flight during an election and
// does not complete soon after it fails with rpctypes.ErrTimeoutDueToLeaderFail.
func (m *Member) NewClient() *clientv3.Client {
	c := v3client.New(m.etcd.Server)
	c.KV = impatient{c.KV, m.elections, m.gate}
	return c
}

// CompactRevision returns the revision up to which the member's history is
// compacted; 0 if it never was.
func (m *Member) CompactRevision() int64 {
	return max(m.etcd.Server.KV().FirstRev(), 0)
}

// Dial connects to the member's gRPC services in memory, for libraries that create
// their own client.
func (m *Member) Dial(ctx context.Context) (net.Conn, error) { return m.memory.Dial(ctx) }

// Ready returns nil when the member serves, or an error if it never will.
func (m *Member) Ready(ctx context.Context) error {
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case <-m.etcd.Server.StopNotify():
		return errors.New("etcd stopped before it was ready")
	case err := <-m.failures.first:
		return fmt.Errorf("serve etcd: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Failed delivers the error with which the member ended by itself. It is closed when the
// member has stopped.
func (m *Member) Failed() <-chan error { return m.failures.first }

// PeerAuthorities returns the sum (pki.BundleSum) of the authorities that the member's
// connections to others trust.
func (m *Member) PeerAuthorities() string { return m.authorities }

// followHandovers holds transactions back while a handover of leadership is
// announced, until stop is called.
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

// Stop closes the member. Its data is on disk when Stop returns.
func (m *Member) Stop() {
	m.unfollow()
	m.server.Stop()
	m.listeners.stopClients()
	m.etcd.Close()
	m.listeners.stopPeers()
	m.failures.close()
}
