package app

import (
	"context"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// subscription is a running feed.
type subscription struct {
	need feed.Need
	next tea.Cmd // waits for the next delivery
	stop context.CancelFunc
	last any // the last delivery, for screens that are opened later
}

// deliveryMsg is a delivery of a feed.
type deliveryMsg struct {
	key  string
	data any
	from *subscription
}

// needs returns the needs of all screens on the stack and of the program itself.
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

// reconcile starts the feeds that are needed and stops the others.
func (m *Model) reconcile() tea.Cmd {
	needed := m.needs()
	for key, s := range m.feeds {
		if _, ok := needed[key]; !ok {
			s.stop()
			delete(m.feeds, key)
		}
	}
	var cmds []tea.Cmd
	for key, need := range needed {
		if m.feeds[key] != nil {
			continue
		}
		ctx, stop := context.WithCancel(m.ctx)
		box := feed.NewMailbox()
		s := &subscription{need: need, stop: stop}
		s.next = func() tea.Msg {
			data, ok := box.Take(ctx)
			if !ok {
				return nil // the feed was stopped
			}
			return deliveryMsg{key, data, s}
		}
		m.feeds[key] = s
		cmds = append(cmds, func() tea.Msg {
			m.jobs.running.Go(func() { m.run(ctx, need, box.Put) })
			return s.next()
		})
	}
	return tea.Batch(cmds...)
}

// deliver passes a delivery to all screens that need it, and waits for the next
// one.
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
		m.updateHosts(d)
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
	var cmd tea.Cmd
	if _, resources := msg.data.(feed.Resources); resources && m.waiting != nil {
		command := m.waiting
		m.waiting = nil
		cmd = m.requests(command.run())
	}
	return tea.Batch(msg.from.next, cmd, m.reconcile())
}

func (m *Model) updateHosts(d feed.Clusters) {
	if d.State != object.Live {
		return
	}
	hosts := map[string]daemonapi.ClusterStatus{}
	for _, s := range d.All {
		hosts[s.Name] = s
	}
	for name := range m.world.Hosts {
		if _, ok := hosts[name]; !ok {
			m.dropCluster(name)
		}
	}
	m.world.Hosts = hosts
}

// dropCluster closes the connection and stops the feeds of a deleted cluster. A
// new cluster of the same name has other certificates and objects.
func (m *Model) dropCluster(cluster string) {
	m.apis.forget(cluster)
	for key, s := range m.feeds {
		if s.need.From() == cluster {
			s.stop()
			delete(m.feeds, key) // reconcile starts it again
		}
	}
}

// replay passes the last deliveries of running feeds to a new screen.
func (m *Model) replay(s screen.Screen) {
	for _, need := range s.Needs() {
		if f := m.feeds[need.Key()]; f != nil && f.last != nil {
			s.Take(&m.world, f.last)
		}
	}
}

// Intervals for polling the daemons, which send no events.
const (
	hostInterval    = 2 * time.Second
	machineInterval = 5 * time.Second
	etcdInterval    = 10 * time.Second
	requestLimit    = 10 * time.Second
)

// run delivers what a need asks for until ctx ends.
func (m *Model) run(ctx context.Context, need feed.Need, emit func(any)) {
	switch need := need.(type) {
	case feed.Host:
		m.runHost(ctx, emit)
	case feed.Machines:
		feed.Poll(ctx, machineInterval, requestLimit, func(ctx context.Context) { emit(m.machineStatus(ctx, need.Cluster)) })
	case feed.Addresses:
		m.runAddresses(ctx, need.Cluster, emit)
	case feed.Etcd:
		m.runEtcd(ctx, need.Cluster, emit)
	case feed.Graphs:
		m.runGraphs(ctx, need, emit)
	case feed.StoredLogs:
		m.runStoredLogs(ctx, need, emit)
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
	feed.Poll(ctx, hostInterval, requestLimit, func(ctx context.Context) {
		all, err := m.config.Host.Clusters(ctx)
		if err != nil {
			last.Freshness = object.Freshness{State: object.Lost, At: last.At, Problem: err.Error()}
		} else {
			last = feed.Clusters{All: all, Freshness: object.Freshness{State: object.Live, At: time.Now()}}
		}
		emit(last)
	})
}

// machineStatus queries all nodes of a cluster in parallel.
func (m *Model) machineStatus(ctx context.Context, cluster string) feed.MachineStatus {
	status := feed.MachineStatus{Cluster: cluster, Nodes: map[string]nodeapi.Status{}, Freshness: object.Freshness{State: object.Live, At: time.Now()}}
	all, err := m.config.Host.Clusters(ctx)
	if err != nil {
		return status
	}
	var mu sync.Mutex // guards status.Nodes
	var group sync.WaitGroup
	for _, s := range all {
		for _, n := range s.Nodes {
			if s.Name != cluster || !n.Agent {
				continue
			}
			group.Go(func() {
				if node, err := m.config.Host.NodeStatus(ctx, cluster, n.Name); err == nil {
					mu.Lock()
					status.Nodes[n.Name] = node
					mu.Unlock()
				}
			})
		}
	}
	group.Wait()
	return status
}

func (m *Model) runAddresses(ctx context.Context, cluster string, emit func(any)) {
	last := feed.HostAddresses{Cluster: cluster}
	feed.Poll(ctx, hostInterval, requestLimit, func(ctx context.Context) {
		all, err := m.config.Host.Services(ctx, cluster)
		if err != nil {
			last.Freshness = object.Freshness{State: object.Lost, At: last.At, Problem: err.Error()}
		} else {
			last.Services, last.Freshness = all, object.Freshness{State: object.Live, At: time.Now()}
		}
		emit(last)
	})
}

// runEtcd polls the etcd members of a cluster.
func (m *Model) runEtcd(ctx context.Context, cluster string, emit func(any)) {
	feed.Poll(ctx, etcdInterval, requestLimit, func(ctx context.Context) {
		if members, err := m.config.Host.EtcdMembers(ctx, cluster); err == nil {
			emit(feed.EtcdMembers{Cluster: cluster, All: members})
		}
	})
}

// runKubernetes delivers what a need asks for from its cluster, and retries until
// it can connect to that.
func (m *Model) runKubernetes(ctx context.Context, need feed.Need, emit func(any)) {
	cluster := need.From()
	for {
		api, err := m.apis.get(ctx, cluster)
		if err == nil {
			api.Run(ctx, need, emit)
			return
		}
		emit(need.Lost(object.Freshness{State: object.Lost, Problem: err.Error()}))
		if pause.For(ctx, hostInterval) != nil {
			return
		}
	}
}
