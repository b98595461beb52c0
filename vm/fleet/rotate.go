package fleet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Limits of a rotation.
const (
	// loadLimit bounds how long a control plane takes to load new keys: it looks
	// for them every second, less often under emulation.
	loadLimit = 2 * time.Minute
	// askLimit bounds how long a control plane that has just started takes to answer.
	askLimit = time.Minute
	// rewriteTries is how often all secrets are rewritten before a rotation gives
	// up: once is enough unless something keeps them from being written.
	rewriteTries = 3
)

const rotateHint = "run \"skiff secrets rotate\" again to continue from here"

// Rotate replaces the encryption key of secrets, or continues with that, and
// returns a message for users. Nothing else may change the cluster meanwhile: a
// node that boots gets the keys of that moment.
func (f *Fleet) Rotate(ctx context.Context, op *operation.Operation) (string, error) {
	if err := f.undisturbed(ctx); err != nil {
		return "", err
	}
	message, err := (&rotation{core: f.core, renewals: f.renewals, op: op}).run(ctx)
	if err == nil {
		return message, nil
	}
	failure := operation.AsFailure(err, f.dir.Log())
	if failure.Hint == "" {
		failure.Hint = rotateHint
	}
	return "", failure
}

// readmit gives the retired keys to all control planes again.
func (f *Fleet) readmit(ctx context.Context) error {
	ring, err := f.credentials.Current().Keyring()
	if err != nil || len(ring.Retired) == 0 {
		return err
	}
	if err := f.credentials.SetKeyring(ring.Readmit()); err != nil {
		return err
	}
	return (&rotation{core: f.core, renewals: f.renewals}).distribute(ctx)
}

// Rotating reports whether a rotation of the encryption key was begun and is not
// finished, apart from that which follows by itself when a clone was made.
func (f *Fleet) Rotating() bool {
	ring, err := f.credentials.Current().Keyring()
	return err == nil && ring.Phase != pki.PhaseSettled && !ring.Foreign && !f.Foreign()
}

// rotation replaces the encryption key of secrets.
type rotation struct {
	core
	renewals *renewals
	op       *operation.Operation
}

// run continues from the cluster's keyring until there is one new key. It returns
// what was done.
func (r *rotation) run(ctx context.Context) (string, error) {
	total := 0
	for tries := 0; ; {
		ring, err := r.credentials.Current().Keyring()
		if err != nil {
			return "", err
		}
		seen, err := r.look(ctx, ring)
		if err != nil {
			return "", err
		}
		move := ring.Next(seen)
		r.log.Info("rotating the encryption key", "move", move, "phase", ring.Phase, "stale", seen.Stale)
		switch move {
		case pki.MoveDistribute:
			err = r.phase(daemonapi.PhaseLoad, "", func() error { return r.load(ctx, ring) })
		case pki.MoveAdd:
			err = r.phase(daemonapi.PhaseAdd, "a new key beside "+ring.Keys[0].Name, func() error { return r.add(ring) })
		case pki.MovePromote:
			err = r.phase(daemonapi.PhasePromote, ring.Keys[1].Name+" encrypts", func() error { return r.credentials.SetKeyring(ring.Promote()) })
		case pki.MoveRewrite:
			if tries++; tries > rewriteTries {
				return "", fmt.Errorf("%d secrets are still not encrypted with %s after they were rewritten", seen.Stale, ring.Keys[0].Name)
			}
			err = r.phase(daemonapi.PhaseRewrite, fmt.Sprintf("%d secrets are encrypted with another key", seen.Stale), func() error {
				total, err = r.api.kube.RewriteSecrets(ctx)
				return err
			})
		case pki.MoveRemove:
			err = r.phase(daemonapi.PhaseRemove, "", func() error { return r.remove(ctx, ring) })
		case pki.MoveFinish:
			return fmt.Sprintf("%d secrets are encrypted with %s", total, ring.Keys[0].Name), r.credentials.SetKeyring(ring.Finish())
		}
		if err != nil {
			return "", err
		}
	}
}

// phase records that a phase begins and how it ended.
func (r *rotation) phase(phase daemonapi.Phase, message string, do func() error) error {
	r.op.Begin("", phase, message)
	if err := do(); err != nil {
		failure := &daemonapi.Failure{Cause: err.Error(), Log: r.dir.Log(), Hint: rotateHint}
		r.op.End("", phase, failure)
		return failure
	}
	r.op.End("", phase, nil)
	return nil
}

func (r *rotation) add(ring pki.Keyring) error {
	ring, err := ring.Add()
	if err != nil {
		return err
	}
	return r.credentials.SetKeyring(ring)
}

// remove retires the old keys once nothing that anybody may read is encrypted
// with them: no value, no revision, and nothing that a control plane has yet to
// see.
func (r *rotation) remove(ctx context.Context, ring pki.Keyring) error {
	if err := r.onAny(ctx, func(c controlapi.Client) error { return c.Compact(ctx) }); err != nil {
		return err
	}
	probe := r.api.probe()
	defer probe.CloseIdleConnections()
	for _, n := range r.planes() {
		if err := fetch(ctx, probe, n, "/api/v1/secrets"); err != nil {
			return fmt.Errorf("read all secrets on %s: %w", n.Name, err)
		}
	}
	return r.credentials.SetKeyring(ring.Remove())
}

// planes returns all control planes that may serve the API.
func (r *rotation) planes() []cluster.Node {
	return append(r.state.controlPlanes(), r.state.leaving()...)
}

// look observes what the next move depends on. All control planes must run: one
// that does not could come back with outdated keys.
func (r *rotation) look(ctx context.Context, ring pki.Keyring) (pki.Seen, error) {
	seen := pki.Seen{Loaded: true}
	for _, n := range r.planes() {
		if !r.machines.running(ctx, n.Name) {
			return seen, &daemonapi.Failure{
				Cause: n.Name + " is not running, and every control plane is needed to rotate the encryption key",
				Hint:  "run \"skiff up\" first",
			}
		}
		loaded := false
		if err := retry(ctx, askLimit, func(ctx context.Context) (bool, error) {
			var err error
			loaded, err = r.loaded(ctx, n, ring)
			return err == nil, err
		}); err != nil {
			return seen, err
		}
		seen.Loaded = seen.Loaded && loaded
	}
	if ring.Phase != pki.PhasePromoted || !seen.Loaded {
		return seen, nil
	}
	var counts map[string]int
	if err := r.onAny(ctx, func(c controlapi.Client) (err error) {
		counts, err = c.SecretKeys(ctx)
		return err
	}); err != nil {
		return seen, err
	}
	for name, count := range counts {
		if name != ring.Keys[0].Name {
			seen.Stale += count
		}
	}
	return seen, nil
}

// loaded reports whether a control plane uses a keyring.
func (r *rotation) loaded(ctx context.Context, n cluster.Node, ring pki.Keyring) (bool, error) {
	keys, err := r.nodes.client(n).ControlPlane().Keys(ctx)
	if err != nil {
		return false, fmt.Errorf("read which keys %s has loaded: %w", n.Name, err)
	}
	return keys.Loaded == fmt.Sprintf("%x", sha256.Sum256(ring.Configuration())), nil
}

// load gives the keyring to every control plane and waits until all work with it.
func (r *rotation) load(ctx context.Context, ring pki.Keyring) error {
	if err := r.distribute(ctx); err != nil {
		return err
	}
	for _, n := range r.planes() {
		if err := retry(ctx, loadLimit, func(ctx context.Context) (bool, error) {
			loaded, err := r.loaded(ctx, n, ring)
			if err == nil && !loaded {
				err = fmt.Errorf("%s has not loaded the keys", n.Name)
			}
			return loaded, err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *rotation) distribute(ctx context.Context) error {
	for _, n := range r.planes() {
		if err := r.renewals.handOut(ctx, n, time.Now(), func(path string) bool { return path == pki.EncryptionFile }); err != nil {
			return err
		}
	}
	return nil
}

// onAny calls do with the control planes in turn until it succeeds.
func (r *rotation) onAny(ctx context.Context, do func(controlapi.Client) error) error {
	var failed error
	for _, n := range r.planes() {
		err := do(r.nodes.client(n).ControlPlane())
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("on %s: %w", n.Name, err))
	}
	return errors.Join(failed, ctx.Err())
}
