// Package restore replaces the etcd database of a cluster by a snapshot without
// ever leaving it without data: every control plane is held before the first one's
// data is replaced, and no control plane drops its data before the first serves
// the restored content. Until then the restore can be undone. Where it stands is
// kept in a small file, so that it can be killed at any step: Recover finishes or
// undoes it.
package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// ControlPlane is one that a restore works on.
type ControlPlane struct {
	Name string
	API  API
	// Ready returns nil if its API server is ready.
	Ready func(context.Context) error
}

// API is what a restore uses of controlapi.Service.
type API interface {
	controlapi.Restore
	Status(ctx context.Context) (controlapi.Status, error)
}

// Progress records the phases of a restore; package operation implements it.
type Progress interface {
	Begin(node string, phase daemonapi.Phase, message string)
	End(node string, phase daemonapi.Phase, failure *daemonapi.Failure)
}

// Restore is one restore of a cluster.
type Restore struct {
	// File holds the State, Snapshot the verified snapshot on the host, which only
	// Run needs.
	File, Snapshot string
	// Planes are all control planes of the cluster, also those that are about to
	// leave. The first one receives the snapshot.
	Planes   []ControlPlane
	Progress Progress
	// Limit bounds how long control planes may take to be held or to serve.
	Limit time.Duration
}

// poll is how often a control plane is asked for its state.
const poll = 50 * time.Millisecond

// strayLimit bounds the search for control planes that are held without a state.
const strayLimit = 5 * time.Second

// Run restores the snapshot as the restore called id. An error that wraps
// ErrUndone means that the cluster has the data from before.
func (r *Restore) Run(ctx context.Context, id, sha256 string) error {
	state := State{ID: id, SHA256: sha256, Step: StepStage}
	if err := r.write(state); err != nil {
		return err
	}
	return r.advance(ctx, state)
}

// ErrUndone means that the restore was undone.
var ErrUndone = errors.New("the database was not changed")

// Recover finishes or undoes a restore that was interrupted. It returns the state
// that it found; its ID is empty if there was none. An interrupted restore that
// had not replaced any data is undone, which is not an error.
func (r *Restore) Recover(ctx context.Context) (State, error) {
	state, err := Read(r.File)
	if err != nil {
		return state, err
	}
	if state.ID == "" {
		if state, err = r.stray(ctx); err != nil || state.ID == "" {
			return state, err
		}
	}
	if state.Finished() {
		return state, r.advance(ctx, state)
	}
	return state, r.undo(ctx, state)
}

// stray looks for control planes that are held although no file says why, as
// when the cluster's directory was brought back from a backup.
func (r *Restore) stray(ctx context.Context) (State, error) {
	statuses := make([]controlapi.Status, len(r.Planes))
	limited, cancel := context.WithTimeout(ctx, strayLimit)
	defer cancel()
	var all sync.WaitGroup
	for i, p := range r.Planes {
		// One that does not answer counts as not held.
		all.Go(func() { statuses[i], _ = p.API.Status(limited) })
	}
	all.Wait()
	for _, status := range statuses {
		if status.Held == "" {
			continue
		}
		state := State{ID: status.Held, Step: StepUndo}
		if first := statuses[0]; first.Restored == state.ID && first.State == controlapi.StateServing {
			state.Step = StepJoin
		}
		return state, r.write(state)
	}
	return State{}, nil
}

// advance carries out all steps from state on. Before StepJoin an error other
// than the end of ctx undoes the restore.
func (r *Restore) advance(ctx context.Context, state State) error {
	steps := []struct {
		step Step
		do   func(context.Context, State) error
	}{{StepStage, r.stage}, {StepHold, r.hold}, {StepReplace, r.replace}, {StepJoin, r.join}}
	begun := false
	for _, s := range steps {
		if begun = begun || s.step == state.Step; !begun {
			continue
		}
		if state.Step != s.step {
			state.Step = s.step
			if err := r.write(state); err != nil {
				return err
			}
		}
		err := s.do(ctx, state)
		switch {
		case err == nil:
		case ctx.Err() != nil || s.step == StepJoin:
			return err
		default:
			if undone := r.undo(ctx, state); undone != nil {
				return errors.Join(err, undone)
			}
			return fmt.Errorf("%w: %w", ErrUndone, err)
		}
	}
	return r.finish()
}

// stage verifies the snapshot on the first control plane.
func (r *Restore) stage(ctx context.Context, _ State) error {
	first := r.Planes[0]
	return r.phase(first.Name, daemonapi.PhaseVerify, func() error {
		if _, err := r.status(ctx, first); err != nil {
			return err
		}
		f, err := os.Open(r.Snapshot)
		if err != nil {
			return fmt.Errorf("read the snapshot: %w", err)
		}
		defer func() { _ = f.Close() }()
		if _, err := first.API.Stage(ctx, f); err != nil {
			return fmt.Errorf("verify the snapshot on %s: %w", first.Name, err)
		}
		return nil
	})
}

// hold stops etcd on all control planes.
func (r *Restore) hold(ctx context.Context, state State) error {
	return each(r.Planes, func(p ControlPlane) error {
		return r.phase(p.Name, daemonapi.PhaseHold, func() error { return r.holdOne(ctx, p, state) })
	})
}

func (r *Restore) holdOne(ctx context.Context, p ControlPlane, state State) error {
	return r.await(ctx, "hold "+p.Name, func(ctx context.Context) error {
		status, err := p.API.Status(ctx)
		if err != nil {
			return err
		}
		if status.State == controlapi.StateHeld && status.Held == state.ID {
			return nil
		}
		if err := p.API.Hold(ctx, controlapi.RestoreRequest{ID: state.ID}); err != nil {
			return err
		}
		return fmt.Errorf("it is still %s", status.State)
	})
}

// replace gives the first control plane the data of the snapshot and waits until
// it serves.
func (r *Restore) replace(ctx context.Context, state State) error {
	first := r.Planes[0]
	return r.phase(first.Name, daemonapi.PhaseReplace, func() error {
		status, err := r.status(ctx, first)
		if err != nil {
			return err
		}
		if status.Restored != state.ID {
			if err := r.holdOne(ctx, first, state); err != nil {
				return err
			}
			if err := first.API.Replace(ctx, controlapi.RestoreRequest{ID: state.ID}); err != nil {
				return fmt.Errorf("replace the data of %s: %w", first.Name, err)
			}
		}
		return r.release(ctx, first, controlapi.ReleaseRequest{ID: state.ID}, func(ctx context.Context, status controlapi.Status) error {
			if status.Restored != state.ID {
				return errors.New("it does not have the restored data")
			}
			return serving(ctx, first, status)
		})
	})
}

// join has the other control planes drop their data and join the first.
func (r *Restore) join(ctx context.Context, state State) error {
	return each(r.Planes[1:], func(p ControlPlane) error {
		return r.phase(p.Name, daemonapi.PhaseRejoin, func() error {
			return r.release(ctx, p, controlapi.ReleaseRequest{ID: state.ID, Join: r.Planes[0].Name}, func(ctx context.Context, status controlapi.Status) error {
				return serving(ctx, p, status)
			})
		})
	})
}

// undo brings back the data from before. Nobody has dropped any yet.
func (r *Restore) undo(ctx context.Context, state State) error {
	state.Step = StepUndo
	if err := r.write(state); err != nil {
		return err
	}
	first := r.Planes[0]
	err := r.phase("", daemonapi.PhaseUndo, func() error {
		status, err := r.status(ctx, first)
		if err != nil {
			return err
		}
		if status.Restored == state.ID {
			if err := r.holdOne(ctx, first, state); err != nil {
				return err
			}
		}
		if err := first.API.Revert(ctx, controlapi.RestoreRequest{ID: state.ID}); err != nil {
			return fmt.Errorf("bring back the data of %s: %w", first.Name, err)
		}
		return each(r.Planes, func(p ControlPlane) error {
			return r.release(ctx, p, controlapi.ReleaseRequest{ID: state.ID}, func(context.Context, controlapi.Status) error { return nil })
		})
	})
	if err != nil {
		return fmt.Errorf("undo the restore: %w", err)
	}
	return r.finish()
}

// release lets a control plane start and waits until check, which is called with
// the status of one that is not held, succeeds.
func (r *Restore) release(ctx context.Context, p ControlPlane, request controlapi.ReleaseRequest, check func(context.Context, controlapi.Status) error) error {
	return r.await(ctx, "start "+p.Name, func(ctx context.Context) error {
		status, err := p.API.Status(ctx)
		if err != nil {
			return err
		}
		switch status.Held {
		case "":
			return check(ctx, status)
		case request.ID:
			if err := p.API.Release(ctx, request); err != nil {
				return err
			}
			return errors.New("it is still held")
		default:
			return fmt.Errorf("it is held by another restore, %s", status.Held)
		}
	})
}

// serving returns nil if a control plane with that status serves clients.
func serving(ctx context.Context, p ControlPlane, status controlapi.Status) error {
	if status.State != controlapi.StateServing {
		return fmt.Errorf("it is still %s", status.State)
	}
	return p.Ready(ctx)
}

// status asks until a control plane answers: its process may be starting.
func (r *Restore) status(ctx context.Context, p ControlPlane) (status controlapi.Status, err error) {
	err = r.await(ctx, "get the state of "+p.Name, func(ctx context.Context) error {
		status, err = p.API.Status(ctx)
		return err
	})
	return status, err
}

// await tries until it succeeds, and gives up at the limit with the last error.
func (r *Restore) await(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, ctx.Err(), err)
		case <-time.After(poll):
		}
	}
}

// phase records the beginning and the end of do.
func (r *Restore) phase(node string, phase daemonapi.Phase, do func() error) error {
	r.Progress.Begin(node, phase, "")
	err := do()
	if err != nil {
		r.Progress.End(node, phase, &daemonapi.Failure{Cause: err.Error()})
		return err
	}
	r.Progress.End(node, phase, nil)
	return nil
}

// each calls do for all control planes at once.
func each(planes []ControlPlane, do func(ControlPlane) error) error {
	errs := make([]error, len(planes))
	var all sync.WaitGroup
	for i, p := range planes {
		all.Go(func() { errs[i] = do(p) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (r *Restore) write(state State) error {
	content, err := json.Marshal(state)
	if err == nil {
		err = atomicfile.Write(r.File, content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the state of the restore: %w", err)
	}
	return nil
}

// finish forgets the restore.
func (r *Restore) finish() error {
	if err := os.Remove(r.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("finish the restore: %w", err)
	}
	return nil
}
