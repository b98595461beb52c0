package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/internal/snapshot"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/operation"
)

// upgrade is an upgrade that is possible.
type upgrade struct {
	images   []image.Image // as findImages returns them
	to       cluster.Image
	observed cluster.Observed
}

// PlanUpgrade returns what an upgrade would do. It changes nothing.
func (f *Fleet) PlanUpgrade(ctx context.Context, request daemonapi.UpgradeRequest) (cluster.UpgradePlan, error) {
	u, err := f.checkUpgrade(ctx, request)
	if err != nil {
		return cluster.UpgradePlan{}, err
	}
	plan := cluster.PlanUpgrade(f.state.current(), u.observed, f.ownImage(), u.to)
	for _, step := range plan.Steps {
		if step.Action != cluster.ActionDrain {
			continue
		}
		blocked, err := f.api.kube.Protected(ctx, step.Node)
		if err != nil {
			return plan, err
		}
		if blocked != "" {
			plan.Notes = append(plan.Notes, fmt.Sprintf("The drain of %s would have to wait now: %s.", step.Node, blocked))
		}
	}
	return plan, nil
}

// BeginUpgrade makes another node image the desired one. The plan that follows gives it to
// the nodes. The error is a failure if the upgrade is not possible; nothing has changed then.
func (f *Fleet) BeginUpgrade(ctx context.Context, request daemonapi.UpgradeRequest) error {
	u, err := f.checkUpgrade(ctx, request)
	if err != nil {
		return err
	}
	if _, err := f.images.add(u.images...); err != nil {
		return err
	}
	current := f.ownImage()
	err = f.state.change(func(state *cluster.State) { state.BeginUpgrade(current, u.to) })
	return errors.Join(err, f.images.settle(f.state.current()))
}

// CheckUpgrade returns a failure if an upgrade is not possible.
func (f *Fleet) CheckUpgrade(ctx context.Context, request daemonapi.UpgradeRequest) error {
	_, err := f.checkUpgrade(ctx, request)
	return err
}

// checkUpgrade returns a failure if an upgrade is not possible.
func (f *Fleet) checkUpgrade(ctx context.Context, request daemonapi.UpgradeRequest) (upgrade, error) {
	state := f.state.current()
	version := request.Kubernetes
	if version == "" {
		version = state.Spec.KubernetesVersion
	}
	_, err := kubenames.Read(version)
	if err == nil {
		err = cluster.CheckUpgrade(state, f.images.own(), version)
	}
	if err != nil {
		return upgrade{}, operation.Invalid(fmt.Errorf("cluster %q: %w", state.Spec.Name, err), "")
	}
	spec := state.Spec
	spec.KubernetesVersion = version
	if faults := cluster.ValidateVersion(spec, kubenames.Read); len(faults) > 0 {
		return upgrade{}, operation.Invalid(fmt.Errorf("cluster %q cannot run Kubernetes %s: %w", spec.Name, version, faults[0]), "")
	}
	found, err := findImages(request.ImageDir, f.dir.Home().Cache(), version, spec)
	if err != nil {
		return upgrade{}, err
	}
	for _, img := range found {
		if err := img.CheckRuntimes(spec.Runtimes); err != nil {
			return upgrade{}, operation.Invalid(err, noRuntime)
		}
	}
	if f.Paused(ctx) {
		return upgrade{}, daemonapi.Paused(spec.Name)
	}
	if f.Rotating() {
		return upgrade{}, &daemonapi.Failure{Cause: "the rotation of the encryption key is not finished", Hint: "run \"skiff secrets rotate\" first"}
	}
	if f.RotatingAuthorities() {
		return upgrade{}, &daemonapi.Failure{Cause: "the replacement of the authorities is not finished", Hint: "run \"skiff pki rotate\" first"}
	}
	observed, err := f.Observe(ctx)
	if err != nil {
		return upgrade{}, err
	}
	if err := cluster.CheckSettled(state, observed); err != nil {
		return upgrade{}, &daemonapi.Failure{Cause: err.Error(), Hint: fmt.Sprintf("run \"skiff up %s\" first", spec.Name)}
	}
	return upgrade{found, identity(found), observed}, nil
}

// ownImage returns the cluster's own image, apart from an upgrade.
func (c *core) ownImage() cluster.Image {
	own := c.images.own()
	if cluster.ForeignArch(c.state.spec()) == "" {
		own.Foreign = "" // no machine has it any more
	}
	return own
}

// upgradeStatus returns the upgrade that is not finished, for users; nil if there is none.
func (f *Fleet) upgradeStatus() *daemonapi.Upgrade {
	state := f.state.current()
	if state.Upgrade == nil {
		return nil
	}
	u := state.Upgrade
	status := &daemonapi.Upgrade{From: u.From.Kubernetes, To: u.To.Kubernetes, Change: u.From.Change(u.To), Failed: u.Failed}
	if u.Saved {
		status.Snapshot = f.dir.UpgradeSnapshot()
	}
	return status
}

// snapshot saves a snapshot of etcd on the host, from any control plane that answers. It
// returns a message for users.
func (e *executor) snapshot(ctx context.Context) (string, error) {
	var failed []string
	for _, n := range e.state.controlPlanes() {
		info, err := e.save(ctx, e.nodes.client(n).ControlPlane())
		if err == nil {
			return fmt.Sprintf("revision %d in %s", info.Revision, e.dir.UpgradeSnapshot()), e.state.change(func(state *cluster.State) {
				if state.Upgrade != nil {
					changed := *state.Upgrade
					changed.Saved = true
					state.Upgrade = &changed
				}
			})
		}
		failed = append(failed, fmt.Sprintf("%s: %v", n.Name, err))
	}
	return "", errors.New(strings.Join(failed, "; "))
}

// save writes a verified snapshot, completely or not at all. Only its owner can read the
// file, since it holds everything in the cluster.
func (e *executor) save(ctx context.Context, from controlapi.Client) (snapshot.Info, error) {
	path := e.dir.UpgradeSnapshot()
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return snapshot.Info{}, err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	err = from.Snapshot(ctx, file)
	if err := errors.Join(err, file.Close()); err != nil {
		return snapshot.Info{}, err
	}
	info, err := snapshot.Verify(file.Name())
	if err != nil {
		return info, err
	}
	return info, atomicfile.Install(file.Name(), path, 0o600)
}

// tryImage starts a machine that is stopped with another image. If its node does not come
// back healthy, it gets its previous image again.
func (e *executor) tryImage(ctx context.Context, n cluster.Node, to cluster.Image) error {
	err := e.startWith(ctx, n, &to)
	if err == nil {
		err = e.healthy(ctx, n, to)
	}
	if err == nil {
		return e.state.change(func(state *cluster.State) { state.Upgraded(n.Name) })
	}
	if ctx.Err() != nil {
		// Whether the image works is unknown: the next plan starts the machine with the previous one.
		return errors.Join(err, e.machines.driver.Stop(context.WithoutCancel(ctx), n.Name))
	}
	return e.goBack(ctx, n, to, err)
}

// startWith starts a machine with an image, nil for the one that the state says, and waits
// until its node is Ready.
func (e *executor) startWith(ctx context.Context, n cluster.Node, trial *cluster.Image) error {
	e.mu.Lock()
	delete(e.prepared, n.Name)
	e.trials[n.Name] = trial
	e.mu.Unlock()
	return e.bringUp(ctx, n, daemonapi.PhaseRestart)
}

// healthy returns nil if a node that is Ready stays so for a while, with the release of
// Kubernetes that its image has, and none of its programs ends meanwhile.
func (e *executor) healthy(ctx context.Context, n cluster.Node, image cluster.Image) error {
	e.op.Begin(n.Name, daemonapi.PhaseRestart, "checking the node")
	before, err := e.nodes.client(n).Status(ctx)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(e.limits.Settled):
	}
	if err := e.awaitReady(ctx, n); err != nil {
		return err
	}
	if err := e.stillServes(ctx, n); err != nil {
		return err
	}
	after, err := e.nodes.client(n).Status(ctx)
	if err != nil {
		return err
	}
	for _, p := range after.Programs {
		if was := find(before, p.Name); p.Restarts > was.Restarts {
			return fmt.Errorf("%s ended meanwhile: %s", p.Name, p.LastExit)
		}
	}
	nodes, err := e.api.kube.Nodes(ctx)
	if err != nil {
		return err
	}
	if has := nodes[n.Name].Kubelet; has != image.Kubernetes {
		return fmt.Errorf("its kubelet reports %s instead of %s", has, image.Kubernetes)
	}
	return nil
}

// stillServes returns nil if the API server of a control plane is ready, and for workers.
func (e *executor) stillServes(ctx context.Context, n cluster.Node) error {
	if n.Role != nodeconfig.RoleControlPlane {
		return nil
	}
	probe := e.api.probe()
	defer probe.CloseIdleConnections()
	return e.poll(ctx, n, e.limits.ControlPlane, func(ctx context.Context) error { return fetch(ctx, probe, n, "/readyz") })
}

// goBack gives a node its previous image again, because it did not come back healthy with
// another one, and ends the upgrade. It returns the failure.
func (e *executor) goBack(ctx context.Context, n cluster.Node, to cluster.Image, why error) error {
	was := e.state.current().ImageOf(n.Name, e.images.own())
	e.log.Warn("a node did not come back healthy, going back", "node", n.Name, "image", to.Digest, "error", why)
	e.op.Begin(n.Name, daemonapi.PhaseRestart, fmt.Sprintf("not healthy with %s, going back to the previous node image: %v", to.Kubernetes, why))
	err := e.state.change(func(state *cluster.State) {
		state.UpgradeFailed(fmt.Sprintf("%s did not come back healthy: %v", n.Name, why))
	})
	if err != nil {
		return err
	}
	state := e.state.current()
	again := e.stop(ctx, n)
	if again == nil {
		again = e.startWith(ctx, n, &was)
	}
	if again == nil {
		again = e.uncordon(ctx, n)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failure := &daemonapi.Failure{Log: e.dir.Console(n.Name) + ".1"}
	change := was.Change(to)
	switch {
	case again != nil:
		failure.Cause = fmt.Sprintf("%s did not come back healthy (%s): %v; nor did it with its previous node image: %v", n.Name, change, why, again)
		failure.Hint = fmt.Sprintf("run \"skiff up\" to repair the cluster; the database from before the upgrade is in %s, for \"skiff etcd restore\"", e.dir.UpgradeSnapshot())
	case state.Upgrade == nil:
		failure.Cause = fmt.Sprintf("%s did not come back healthy (%s): %v; it has its previous node image again, and the cluster is as before the upgrade", n.Name, change, why)
		failure.Hint = "the log is that of the failed start"
	default:
		failure.Cause = fmt.Sprintf("%s did not come back healthy (%s): %v; it has its previous node image again, and the upgrade stopped there", n.Name, change, why)
		failure.Hint = fmt.Sprintf("run \"skiff upgrade %s\" to try again; the nodes before %s keep the new node image", state.Spec.Name, n.Name)
	}
	return errors.Join(final{failure}, e.images.settle(state))
}
