package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// renewPeriod is how often certificates are checked. They are valid for a year
// and renewed after half of it.
const renewPeriod = time.Hour

// handOutLimit bounds how long it takes to give a node new files.
const handOutLimit = time.Minute

// renewals renews the certificates of the host and of the nodes.
type renewals struct {
	core
	woken wakeup.Signal // certificates must be checked now

	mu    sync.Mutex // guards locks
	locks map[string]*sync.Mutex
}

func newRenewals(c core) *renewals {
	return &renewals{core: c, woken: wakeup.New(), locks: map[string]*sync.Mutex{}}
}

// wake causes certificates to be checked now.
func (r *renewals) wake() {
	r.woken.Send()
}

// lock returns the lock that is held while a node is given files, so that it
// never gets the older ones last. A node that hangs blocks no other.
func (r *renewals) lock(name string) *sync.Mutex {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.locks[name] == nil {
		r.locks[name] = &sync.Mutex{}
	}
	return r.locks[name]
}

// run renews the certificates of the host and of running nodes until ctx ends. A
// machine that starts gets new ones anyway.
func (r *renewals) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.woken:
		case <-time.After(renewPeriod):
		}
		if r.frozen(ctx) {
			continue // a resumed node would reject a certificate that begins in its future
		}
		if err := r.renew(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.log.Warn("certificates not renewed, trying again later", "error", err)
		}
	}
}

// renew renews what has used up half of its lifetime.
func (r *renewals) renew(ctx context.Context, now time.Time) error {
	if r.credentials.Current().Stale(now) {
		// A node whose clock is behind would reject a new certificate of the host, so
		// it gets the time over a connection with the old one.
		r.nodes.setClocks(ctx)
	}
	if err := r.credentials.Renew(now); err != nil {
		return err
	}
	r.nodes.each(ctx, func(n cluster.Node) {
		if err := r.renewNode(ctx, n, now); err != nil {
			r.log.Warn("a node's certificates were not renewed, trying again later", "node", n.Name, "error", err)
		}
	})
	return nil
}

// renewNode gives a node new certificates if it is time. All that a node holds is as
// old as what its API presents.
func (r *renewals) renewNode(ctx context.Context, n cluster.Node, now time.Time) error {
	presented, err := r.nodes.pool.Certificate(ctx, n.Address.Addr())
	if err != nil || !pki.Used(presented, now) {
		return err
	}
	if err := r.handOut(ctx, n, now, func(string) bool { return true }); err != nil {
		return err
	}
	// Open connections were authenticated with the old certificate.
	r.nodes.pool.CloseIdleConnections()
	r.log.Info("renewed a node's certificates", "node", n.Name)
	return nil
}

// handOut gives a running node those of its files that are chosen by path, newly
// made: at once, and for its next boot.
func (r *renewals) handOut(ctx context.Context, n cluster.Node, now time.Time, chosen func(path string) bool) error {
	lock := r.lock(n.Name)
	lock.Lock()
	defer lock.Unlock()
	ctx, cancel := context.WithTimeout(ctx, handOutLimit)
	defer cancel()
	document, err := r.documents.node(n, now)
	if err != nil {
		return err
	}
	seed, err := json.Marshal(document)
	if err != nil {
		return err
	}
	if err := r.machines.driver.Reseed(ctx, n.Name, seed); err != nil {
		return err
	}
	files := maps.Clone(document.Files)
	maps.DeleteFunc(files, func(path string, _ []byte) bool { return !chosen(path) })
	address := n.Address.Addr()
	r.machines.issued.replacing(address, files)
	if err := r.nodes.client(n).WriteFiles(ctx, files); err != nil {
		return fmt.Errorf("give a running node new files: %w", err)
	}
	r.machines.issued.replaced(address, files)
	return nil
}
