package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// loadLimit is how long a control plane may take to load new keys: it looks for
// them every second, more seldom under emulation. askLimit is how long one that
// is just being started may take to answer.
const (
	loadLimit = 2 * time.Minute
	askLimit  = time.Minute
)

// rewriteTries is how often all secrets are rewritten before a rotation gives
// up: once is enough unless something keeps them from being written.
const rewriteTries = 3

func (d *daemon) postRotate(w http.ResponseWriter, r *http.Request) {
	op, failure := d.beginRotate()
	if failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	d.stream(w, r, op)
}

// beginRotate starts a rotation, or joins the one that runs. Nothing else
// changes the cluster meanwhile: a node that boots gets the keys of just now.
func (d *daemon) beginRotate() (*operation.Operation, *daemonapi.Failure) {
	return d.begin(operation.KindRotate, func(ctx context.Context, c *running, op *operation.Operation) (string, error) {
		if err := c.awake(ctx); err != nil {
			return "", err
		}
		message, err := (&rotation{running: c, op: op}).run(ctx)
		if err == nil {
			return message, nil
		}
		failure := operation.AsFailure(err, d.dir.Log())
		if failure.Hint == "" {
			failure.Hint = "run \"skiff secrets rotate\" again to go on from here"
		}
		return "", failure
	})
}

func (d *daemon) postReadmit(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	failure, c := d.unavailable(), d.cluster
	d.mu.Unlock()
	if failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	if err := c.readmit(r.Context()); err != nil {
		writeFailure(w, http.StatusInternalServerError, operation.AsFailure(err, d.dir.Log()))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// readmit hands the retired keys to all control planes again.
func (c *running) readmit(ctx context.Context) error {
	if err := c.awake(ctx); err != nil {
		return err
	}
	r := &rotation{running: c}
	ring, err := c.keychain().files.Keyring()
	if err != nil || len(ring.Retired) == 0 {
		return err
	}
	if err := r.keep(ring.Readmit()); err != nil {
		return err
	}
	return r.distribute(ctx)
}

// rotation exchanges the key of secrets at rest.
type rotation struct {
	*running
	op *operation.Operation
}

// run goes on from the cluster's keyring until there is one new key. It says
// what was done.
func (r *rotation) run(ctx context.Context) (string, error) {
	total := 0
	for tries := 0; ; {
		ring, err := r.keychain().files.Keyring()
		if err != nil {
			return "", err
		}
		seen, err := r.look(ctx, ring)
		if err != nil {
			return "", err
		}
		move := ring.Next(seen)
		r.log.Info("rotating the key of secrets", "move", move, "phase", ring.Phase, "stale", seen.Stale)
		switch move {
		case pki.MoveDistribute:
			err = r.phase(daemonapi.PhaseLoad, "", func() error { return r.load(ctx, ring) })
		case pki.MoveAdd:
			err = r.phase(daemonapi.PhaseAdd, "a new key beside "+ring.Keys[0].Name, func() error { return r.add(ring) })
		case pki.MovePromote:
			err = r.phase(daemonapi.PhasePromote, ring.Keys[1].Name+" encrypts", func() error { return r.keep(ring.Promote()) })
		case pki.MoveRewrite:
			if tries++; tries > rewriteTries {
				return "", fmt.Errorf("%d secrets are still not under %s after they were written again", seen.Stale, ring.Keys[0].Name)
			}
			err = r.phase(daemonapi.PhaseRewrite, fmt.Sprintf("%d secrets are under another key", seen.Stale), func() error {
				total, err = r.kube.RewriteSecrets(ctx)
				return err
			})
		case pki.MoveRemove:
			err = r.phase(daemonapi.PhaseRemove, "", func() error { return r.remove(ctx, ring) })
		case pki.MoveFinish:
			return fmt.Sprintf("%d secrets are under %s", total, ring.Keys[0].Name), r.keep(ring.Finish())
		}
		if err != nil {
			return "", err
		}
	}
}

// phase says that something is done, and how it ended.
func (r *rotation) phase(phase daemonapi.Phase, message string, do func() error) error {
	r.op.Begin("", phase, message)
	err := do()
	if err != nil {
		err = &daemonapi.Failure{Cause: err.Error(), Log: r.dir.Log(), Hint: "run \"skiff secrets rotate\" again to go on from here"}
		r.op.End("", phase, operation.AsFailure(err, ""))
		return err
	}
	r.op.End("", phase, nil)
	return nil
}

// keep writes a keyring before anybody is handed it.
func (r *rotation) keep(ring pki.Keyring) error {
	r.handout.Lock()
	defer r.handout.Unlock()
	keys, err := r.keychain().withKeyring(r.dir.PKI(), ring)
	if err != nil {
		return err
	}
	r.setKeychain(keys)
	return nil
}

func (r *rotation) add(ring pki.Keyring) error {
	ring, err := ring.Add()
	if err != nil {
		return err
	}
	return r.keep(ring)
}

// remove retires the old keys once nothing is under them that anybody may read:
// no value, no revision, and nothing that a control plane has yet to see.
func (r *rotation) remove(ctx context.Context, ring pki.Keyring) error {
	if _, err := r.tool(ctx, "compact"); err != nil {
		return err
	}
	probe, err := r.apiClient()
	if err != nil {
		return err
	}
	defer probe.CloseIdleConnections()
	for _, n := range r.planes() {
		if err := fetch(ctx, probe, n, "/api/v1/secrets", nil); err != nil {
			return fmt.Errorf("read all secrets on %s: %w", n.Name, err)
		}
	}
	return r.keep(ring.Remove())
}

// planes are all control planes that may serve the API.
func (r *rotation) planes() []cluster.Node { return append(r.controlPlanes(), r.leaving()...) }

// look finds what the next move depends on. All control planes must run: one
// that does not could come back with keys of long ago.
func (r *rotation) look(ctx context.Context, ring pki.Keyring) (pki.Seen, error) {
	seen := pki.Seen{Loaded: true}
	for _, n := range r.planes() {
		if state, err := r.machines.Driver.State(ctx, n.Name); err != nil || state != machine.StateRunning {
			return seen, errors.Join(err, &daemonapi.Failure{
				Cause: n.Name + " does not run, and every control plane is needed to rotate the key of secrets",
				Hint:  "run \"skiff up\" first",
			})
		}
		loaded := false
		if err := insist(ctx, askLimit, func(ctx context.Context) (err error) {
			loaded, err = r.loaded(ctx, n, ring)
			return err
		}); err != nil {
			return seen, err
		}
		seen.Loaded = seen.Loaded && loaded
	}
	if ring.Phase != pki.PhasePromoted || !seen.Loaded {
		return seen, nil
	}
	out, err := r.tool(ctx, "keys")
	if err != nil {
		return seen, err
	}
	var counts map[string]int
	if err := json.Unmarshal([]byte(out), &counts); err != nil {
		return seen, fmt.Errorf("read how secrets are encrypted: %w", err)
	}
	for name, count := range counts {
		if name != ring.Keys[0].Name {
			seen.Stale += count
		}
	}
	return seen, nil
}

// loaded asks a control plane whether it works with a keyring: its metrics have
// the digest of the configuration that it loaded last.
func (r *rotation) loaded(ctx context.Context, n cluster.Node, ring pki.Keyring) (bool, error) {
	probe, err := r.apiClient()
	if err != nil {
		return false, err
	}
	defer probe.CloseIdleConnections()
	found := false
	want := fmt.Sprintf(`hash="sha256:%x"`, sha256.Sum256(ring.Configuration()))
	err = fetch(ctx, probe, n, "/metrics", func(line string) {
		if strings.HasPrefix(line, "apiserver_encryption_config_controller_last_config_info{") && strings.Contains(line, want) {
			found = true
		}
	})
	if err != nil {
		return false, fmt.Errorf("ask %s for its keys: %w", n.Name, err)
	}
	return found, nil
}

// load hands the keyring to every control plane and waits until all work with it.
func (r *rotation) load(ctx context.Context, ring pki.Keyring) error {
	if err := r.distribute(ctx); err != nil {
		return err
	}
	for _, n := range r.planes() {
		if err := insist(ctx, loadLimit, func(ctx context.Context) error {
			loaded, err := r.loaded(ctx, n, ring)
			if err == nil && !loaded {
				err = fmt.Errorf("%s has not loaded the keys", n.Name)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// insist tries until it succeeds, and gives up at limit with the last error.
func insist(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	whole, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(whole, pollAttempt)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-whole.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-time.After(pollPeriod):
		}
	}
}

func (r *rotation) distribute(ctx context.Context) error {
	for _, n := range r.planes() {
		if err := r.handOut(ctx, n, time.Now(), func(path string) bool { return path == pki.EncryptionFile }); err != nil {
			return err
		}
	}
	return nil
}

// tool runs the tool for etcd on the first control plane where it works.
func (r *rotation) tool(ctx context.Context, command string) (string, error) {
	var failed error
	for _, n := range r.planes() {
		out, err := r.node(n).Run(ctx, controlPlaneProgram, "etcd", command)
		if err == nil {
			return out, nil
		}
		failed = errors.Join(failed, fmt.Errorf("on %s: %w", n.Name, err))
	}
	return "", failed
}
