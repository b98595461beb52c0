package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/addon"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// errNotWaited means that --wait is 0 and the cluster is starting in the
// background.
var errNotWaited = errors.New("not waited for")

// apply makes the cluster match spec, from a snapshot unless clone is nil, applies its addons, and
// shows the progress.
func apply(ctx context.Context, s cli.Streams, c *client.Client, clone *clone, spec cluster.Spec, addons []addon.Addon, draining daemonapi.Draining, wait time.Duration, asJSON bool) error {
	return follow(ctx, s, startup{
		command: "up", name: spec.Name, wait: wait, asJSON: asJSON,
		work: func(ctx context.Context, event func(daemonapi.Event)) error {
			work := c.ApplyDraining
			if clone != nil {
				work = clone.work(c)
			}
			if err := work(ctx, spec, draining, event); err != nil {
				return err
			}
			return applyAddons(ctx, c, spec.Name, addons, event)
		},
		begun: prepared,
	})
}

// prepared reports whether an event shows that the certificates exist. The
// kubeconfig needs them; they exist once a machine boots.
func prepared(e daemonapi.Event) bool {
	return e.Phase != "" && e.Phase != daemonapi.PhasePrepare && e.Phase != daemonapi.PhaseCluster
}

// startup is an operation that starts a cluster. The daemon continues it when the
// command no longer waits.
type startup struct {
	command, name string
	wait          time.Duration // 0 waits only until it has begun
	asJSON        bool
	work          func(ctx context.Context, event func(daemonapi.Event)) error
	begun         func(daemonapi.Event) bool
}

// follow shows the progress of a startup until it ends or up.wait is over.
func follow(ctx context.Context, s cli.Streams, up startup) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var failed daemonapi.Event
	err := s.Show(ctx, up.asJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
		if up.wait > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, up.wait)
			defer stop()
		}
		return up.work(ctx, func(e daemonapi.Event) {
			event(e)
			if e.State == daemonapi.StateFailed && e.Phase != "" && failed.Phase == "" {
				failed = e
			}
			if up.wait == 0 && up.begun(e) {
				cancel(errNotWaited)
			}
		})
	})
	var interrupted *cli.InterruptedError
	switch {
	case errors.As(err, &interrupted):
		return err
	case errors.Is(context.Cause(ctx), errNotWaited) && errors.Is(err, context.Canceled):
		return errNotWaited
	case errors.Is(err, context.Canceled):
		return cli.Interrupted(
			fmt.Sprintf("interrupted; cluster %q is still starting in the background", up.name),
			fmt.Sprintf("run `skiff %s %s` to watch it again, or `skiff down %s` to delete it", up.command, up.name, up.name),
		)
	case errors.Is(err, context.DeadlineExceeded):
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("cluster %q is not ready after %s and is still starting in the background", up.name, up.wait),
			Log:   fmt.Sprintf("skiff logs -c %s --source daemon", up.name),
			Hint:  fmt.Sprintf("run `skiff status %s` to see its progress, or `skiff %s %s --wait %s` to wait longer", up.name, up.command, up.name, 2*up.wait),
		}
	case err != nil && failed.Phase != "":
		return &cli.PhaseError{Phase: failed.Phase, Node: failed.Node, Err: err}
	}
	return err
}
