package app

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// subscription is one feed that runs.
type subscription struct {
	need feed.Need
	box  *feed.Mailbox
	ctx  context.Context
	stop context.CancelFunc
	last any // what was delivered last, for screens that come later
}

// deliveryMsg is something that a feed delivered.
type deliveryMsg struct {
	key  string
	data any
	from *subscription
}

// needs are those of all screens on the stack and of the program itself.
func (m *Model) needs() map[string]feed.Need {
	all := map[string]feed.Need{}
	add := func(needs ...feed.Need) {
		for _, n := range needs {
			all[n.Key()] = n
		}
	}
	add(feed.Host{})
	for _, cluster := range m.world.Clusters {
		add(feed.Catalog{Cluster: cluster}, feed.Objects{Cluster: cluster, Resource: object.Namespaces})
	}
	for _, s := range m.stack {
		add(s.Needs()...)
	}
	return all
}

// reconcile begins feeds that are needed and ends those that are not.
func (m *Model) reconcile() tea.Cmd {
	wanted := m.needs()
	for key, s := range m.feeds {
		if _, ok := wanted[key]; !ok {
			s.stop()
			delete(m.feeds, key)
		}
	}
	var cmds []tea.Cmd
	for key, need := range wanted {
		if m.feeds[key] != nil {
			continue
		}
		ctx, stop := context.WithCancel(m.ctx)
		s := &subscription{need: need, box: feed.NewMailbox(), ctx: ctx, stop: stop}
		m.feeds[key] = s
		cmds = append(cmds, func() tea.Msg {
			m.jobs.running.Go(func() { m.run(ctx, need, s.box.Put) })
			return s.wait(key)
		})
	}
	return tea.Batch(cmds...)
}

// wait returns the next delivery as a message; nil when the feed has ended.
func (s *subscription) wait(key string) tea.Msg {
	data, ok := s.box.Take(s.ctx)
	if !ok {
		return nil
	}
	return deliveryMsg{key, data, s}
}

// deliver hands a delivery to all screens that need it, and waits for the next.
func (m *Model) deliver(msg deliveryMsg) tea.Cmd {
	if m.feeds[msg.key] != msg.from {
		return nil
	}
	m.world.Now = m.config.Now()
	switch d := msg.data.(type) {
	case feed.Resources:
		if len(d.All) > 0 {
			m.world.Resources[d.Cluster] = d.All
		}
	case feed.Clusters:
		m.hosts(d)
	}
	if _, stream := msg.data.(feed.Lines); !stream {
		msg.from.last = msg.data
	}
	for _, s := range m.stack {
		for _, need := range s.Needs() {
			if need.Key() == msg.key {
				s.Take(&m.world, msg.data)
				break
			}
		}
	}
	next := func() tea.Msg { return msg.from.wait(msg.key) }
	return tea.Batch(next, m.reconcile())
}

func (m *Model) hosts(d feed.Clusters) {
	if d.State != object.Live {
		return
	}
	hosts := map[string]daemonapi.ClusterStatus{}
	for _, s := range d.All {
		hosts[s.Name] = s
	}
	for name := range m.world.Hosts {
		if _, ok := hosts[name]; !ok {
			m.forget(name)
		}
	}
	m.world.Hosts = hosts
}

// forget leaves a cluster that is gone: another of the same name has other
// certificates, and other objects.
func (m *Model) forget(cluster string) {
	m.apis.forget(cluster)
	for key, s := range m.feeds {
		if clusterOf(s.need) == cluster {
			s.stop()
			delete(m.feeds, key) // reconcile begins it anew
		}
	}
}

// replay tells a new screen what feeds that run already have delivered.
func (m *Model) replay(s screen.Screen) {
	for _, need := range s.Needs() {
		if f := m.feeds[need.Key()]; f != nil && f.last != nil {
			s.Take(&m.world, f.last)
		}
	}
}

// Intervals at which the daemons are asked: they have no events to follow.
const (
	hostInterval  = 2 * time.Second
	guestInterval = 5 * time.Second
	etcdInterval  = 10 * time.Second
	askLimit      = 10 * time.Second
)

// run answers a need until ctx ends.
func (m *Model) run(ctx context.Context, need feed.Need, emit func(any)) {
	switch need := need.(type) {
	case feed.Host:
		m.runHost(ctx, emit)
	case feed.Machines:
		m.runGuests(ctx, need.Cluster, emit)
	case feed.Etcd:
		m.runEtcd(ctx, need.Cluster, emit)
	case feed.Output:
		m.jobs.follow(ctx, need.ID, emit)
	case feed.Forwards:
		m.config.Ports.Run(ctx, emit)
	default:
		m.runKubernetes(ctx, need, emit)
	}
}

func (m *Model) runHost(ctx context.Context, emit func(any)) {
	last := feed.Clusters{}
	for {
		limited, cancel := context.WithTimeout(ctx, askLimit)
		all, err := m.config.Host.Clusters(limited)
		cancel()
		if err != nil {
			last.Freshness = object.Freshness{State: object.Lost, At: last.At, Problem: err.Error()}
		} else {
			last = feed.Clusters{All: all, Freshness: object.Freshness{State: object.Live, At: time.Now()}}
		}
		emit(last)
		if !sleep(ctx, hostInterval) {
			return
		}
	}
}

// runGuests asks each machine of a cluster how it is.
func (m *Model) runGuests(ctx context.Context, cluster string, emit func(any)) {
	for {
		limited, cancel := context.WithTimeout(ctx, askLimit)
		guests := m.guests(limited, cluster)
		cancel()
		emit(guests)
		if !sleep(ctx, guestInterval) {
			return
		}
	}
}

func (m *Model) guests(ctx context.Context, cluster string) feed.MachineStatus {
	guests := feed.MachineStatus{Cluster: cluster, Nodes: map[string]nodeapi.Status{}, Freshness: object.Freshness{State: object.Live, At: time.Now()}}
	all, err := m.config.Host.Clusters(ctx)
	if err != nil {
		return guests
	}
	var mu sync.Mutex // guards guests.Nodes
	var asked sync.WaitGroup
	for _, s := range all {
		for _, n := range s.Nodes {
			if s.Name != cluster || !n.Agent {
				continue
			}
			asked.Go(func() {
				if status, err := m.config.Host.Guest(ctx, cluster, n.Name); err == nil {
					mu.Lock()
					guests.Nodes[n.Name] = status
					mu.Unlock()
				}
			})
		}
	}
	asked.Wait()
	return guests
}

// runEtcd asks the members of a cluster's database, as the command line does.
func (m *Model) runEtcd(ctx context.Context, cluster string, emit func(any)) {
	for {
		limited, cancel := context.WithTimeout(ctx, askLimit)
		var out bytes.Buffer
		members := feed.EtcdMembers{Cluster: cluster}
		err := m.config.Host.Skiff(limited, []string{"etcd", "members", cluster, "-o", "json"}, strings.NewReader(""), &out)
		cancel()
		if err == nil && json.Unmarshal(out.Bytes(), &members.All) == nil {
			emit(members)
		}
		if !sleep(ctx, etcdInterval) {
			return
		}
	}
}

// runKubernetes answers a need from the cluster that it names, as soon as that
// can be connected to.
func (m *Model) runKubernetes(ctx context.Context, need feed.Need, emit func(any)) {
	cluster := clusterOf(need)
	for {
		api, err := m.apis.get(ctx, cluster)
		if err == nil {
			api.Run(ctx, need, emit)
			return
		}
		emit(failed(need, err))
		if !sleep(ctx, hostInterval) {
			return
		}
	}
}

func clusterOf(need feed.Need) string {
	switch n := need.(type) {
	case feed.Objects:
		return n.Cluster
	case feed.Catalog:
		return n.Cluster
	case feed.Text:
		return n.Ref.Cluster
	case feed.Logs:
		return n.Cluster
	case feed.Usage:
		return n.Cluster
	case feed.ControlPlane:
		return n.Cluster
	case feed.Tree:
		return n.Ref.Cluster
	case feed.PodContainers:
		return n.Pod.Cluster
	}
	return ""
}

// failed is the answer to a need of a cluster that cannot be connected to.
func failed(need feed.Need, err error) any {
	lost := object.Freshness{State: object.Lost, Problem: err.Error()}
	switch n := need.(type) {
	case feed.Objects:
		return object.Table{Cluster: n.Cluster, Resource: n.Resource, Freshness: lost}
	case feed.Catalog:
		return feed.Resources{Cluster: n.Cluster, Freshness: lost}
	case feed.Text:
		return feed.Document{Freshness: lost}
	case feed.Logs:
		return feed.Lines{Freshness: lost}
	case feed.Usage:
		return feed.Stats{Cluster: n.Cluster, Freshness: lost}
	case feed.ControlPlane:
		return feed.ControlPlaneStatus{Cluster: n.Cluster, Freshness: lost}
	case feed.PodContainers:
		return feed.Containers{Freshness: lost}
	}
	return feed.Ownership{Freshness: lost}
}

// connections keeps one API for each cluster.
type connections struct {
	host Host
	mu   sync.Mutex // guards apis
	apis map[string]Kubernetes
}

func newConnections(host Host) *connections {
	return &connections{host: host, apis: map[string]Kubernetes{}}
}

func (c *connections) get(ctx context.Context, cluster string) (Kubernetes, error) {
	c.mu.Lock()
	api := c.apis[cluster]
	c.mu.Unlock()
	if api != nil {
		return api, nil
	}
	limited, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	api, err := c.host.Connect(limited, cluster)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.apis[cluster]; known != nil {
		return known, nil
	}
	c.apis[cluster] = api
	return api, nil
}

func (c *connections) forget(cluster string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.apis, cluster)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
