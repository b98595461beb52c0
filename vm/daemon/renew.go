package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// renewPeriod is how often certificates are looked at; they are valid for a year
// and renewed after half of it.
const renewPeriod = time.Hour

// keepCertificates renews the certificates of the host and of running nodes
// until ctx ends. A machine that starts gets new ones anyway.
func (c *running) keepCertificates(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.woken:
		case <-time.After(renewPeriod):
		}
		if c.paused(ctx) {
			continue // nodes that go on would take a new certificate for one of the future
		}
		if err := c.renew(ctx, time.Now()); err != nil && ctx.Err() == nil {
			c.log.Warn("certificates not renewed, it is tried again", "error", err)
		}
	}
}

// wake has certificates looked at now.
func (c *running) wake() {
	select {
	case c.woken <- struct{}{}:
	default: // they are about to be
	}
}

// renew makes again what has used up half of its life.
func (c *running) renew(ctx context.Context, now time.Time) error {
	if c.keychain().stale(now) {
		// A node that slept would take a new certificate for one of the future, so
		// it gets the time by the old one first.
		c.setClocks(ctx)
	}
	if err := c.renewHost(now); err != nil {
		return err
	}
	renewed := false
	c.each(ctx, func(n cluster.Node) {
		done, err := c.renewNode(ctx, n, now)
		if err != nil {
			c.log.Warn("a node's certificates not renewed, it is tried again", "node", n.Name, "error", err)
		}
		if done {
			c.mu.Lock()
			renewed = true
			c.mu.Unlock()
		}
	})
	if !renewed {
		return nil
	}
	// Kubelets renew theirs by themselves; one that slept too long joins again.
	return c.kube.AllowJoin(ctx, c.tokenID, c.tokenSecret, now.Add(tokenLifetime))
}

func (c *running) renewHost(now time.Time) error {
	c.handout.Lock()
	defer c.handout.Unlock()
	keys, err := openKeychain(c.dir.PKI(), now)
	if err != nil {
		return err
	}
	c.setKeychain(keys)
	return nil
}

// renewNode hands a node new certificates if it is time; false if it is not.
// All that a node holds is as old as what its API shows.
func (c *running) renewNode(ctx context.Context, n cluster.Node, now time.Time) (bool, error) {
	shown, err := c.nodes.Certificate(ctx, n.Address.Addr())
	if err != nil || !pki.Used(shown, now) {
		return false, err
	}
	if err := c.handOut(ctx, n, now, func(string) bool { return true }); err != nil {
		return false, err
	}
	// What is open was opened with the old one.
	c.nodes.CloseIdleConnections()
	c.log.Info("renewed a node's certificates", "node", n.Name)
	return true, nil
}

// handOut gives a running node those of its files that are chosen by path, made
// now: at once, and when it boots again.
func (c *running) handOut(ctx context.Context, n cluster.Node, now time.Time, chosen func(path string) bool) error {
	c.handout.Lock()
	defer c.handout.Unlock()
	document, err := c.document(n, now)
	if err != nil {
		return err
	}
	seed, err := json.Marshal(document)
	if err != nil {
		return err
	}
	if err := c.machines.Driver.Reseed(ctx, n.Name, seed); err != nil {
		return err
	}
	files := maps.Clone(document.Files)
	maps.DeleteFunc(files, func(path string, _ []byte) bool { return !chosen(path) })
	if err := c.node(n).WriteFiles(ctx, files); err != nil {
		return fmt.Errorf("hand new files to a running node: %w", err)
	}
	return nil
}
