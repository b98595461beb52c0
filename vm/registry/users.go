package registry

import (
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
	"github.com/skiff-dev/skiff/vm/registry/upstream"
)

// users are the clusters that use the registry. Without any, the registry ends after
// a while, unless it is kept.
type users struct {
	idle time.Duration
	end  func()

	mu      sync.Mutex // guards the fields below
	kept    bool
	stopped bool
	clients map[string]*upstream.Client // by cluster
	timer   *time.Timer
}

func newUsers(idle time.Duration, end func()) *users {
	u := &users{idle: idle, end: end, clients: map[string]*upstream.Client{}}
	u.timer = time.AfterFunc(idle, u.expire)
	return u
}

// expire ends the registry if nobody uses it.
func (u *users) expire() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.kept && len(u.clients) == 0 {
		u.end()
	}
}

// keep lets the registry run without users.
func (u *users) keep() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.kept = true
}

// stop ends the registry.
func (u *users) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	u.end()
}

// add adds a user, or changes what it wants. The returned function removes it again.
func (u *users) add(use registryapi.Use) (remove func(), err error) {
	client, err := upstream.New(upstream.Config{
		Mirrors: use.Mirrors, Insecure: use.Insecure, Egress: network.Egress(use.Egress),
		Proxy:       httpproxy.Config{HTTPProxy: use.Proxy.HTTP, HTTPSProxy: use.Proxy.HTTPS, NoProxy: use.Proxy.No},
		Authorities: use.Authorities,
	})
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clients[use.Cluster] = client
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		client.Close()
		if u.clients[use.Cluster] != client {
			return // the same cluster, with other settings
		}
		delete(u.clients, use.Cluster)
		u.timer.Reset(u.idle)
	}, nil
}

// client returns how a cluster reaches other registries; nil if it does not use this
// one.
func (u *users) client(cluster string) *upstream.Client {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.clients[cluster]
}

// describe adds who uses the registry to its status.
func (u *users) describe(status registryapi.Status) registryapi.Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	status.Kept, status.Stopping = u.kept, u.stopped
	status.Clusters = slices.AppendSeq([]string{}, maps.Keys(u.clients))
	slices.Sort(status.Clusters)
	return status
}
