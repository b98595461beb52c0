package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/addon"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/kube/applyset"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// check returns everything that is wrong with a cluster and its addons, before anything is
// changed, or the addons.
func check(ctx context.Context, c *client.Client, spec cluster.Spec) ([]addon.Addon, error) {
	faults := target.Explain(spec.Name, c.Check(ctx, spec))
	addons, err := loadAddons(ctx, c, spec)
	return addons, errors.Join(faults, err)
}

// loadAddons reads the addons of a cluster and checks them, before anything is changed.
func loadAddons(ctx context.Context, c *client.Client, spec cluster.Spec) ([]addon.Addon, error) {
	addons, err := addon.Load(spec.Addons)
	if err != nil {
		return nil, cli.Invalid("", "%s", err)
	}
	if len(addons) == 0 {
		return nil, nil
	}
	current, running, err := connect(ctx, c)
	if err != nil {
		return nil, err
	}
	if running {
		actual, err := current.Target()
		if err != nil {
			return nil, err
		}
		return addons, invalid(addon.Check(addons, actual))
	}
	predicted, err := addon.Predicted(cmp.Or(spec.KubernetesVersion, kubenames.Default))
	if err != nil {
		return nil, invalid(err)
	}
	if _, err := c.Spec(); !errors.Is(err, client.ErrNoCluster) {
		// Charts may need what the stopped cluster has.
		manifests := slices.DeleteFunc(slices.Clone(addons), func(a addon.Addon) bool { return a.Kind == addon.KindChart })
		return addons, invalid(addon.Check(manifests, predicted))
	}
	return addons, invalid(addon.Check(addons, predicted))
}

func invalid(err error) error {
	if err == nil {
		return nil
	}
	return cli.Invalid("", "%s", err)
}

// connect returns the cluster if its API can be asked now.
func connect(ctx context.Context, c *client.Client) (current addon.Cluster, running bool, err error) {
	status, err := c.Status(ctx)
	if err != nil || status.Phase != "running" && status.Phase != "degraded" {
		return current, false, nil //nolint:nilerr // then nothing runs, or `up` reports why
	}
	kubeconfig, err := c.Kubeconfig(ctx)
	if err != nil {
		return current, false, err
	}
	current, err = addon.Connect(kubeconfig)
	if err != nil {
		return current, false, err
	}
	_, unreachable := current.Discovery().ServerVersion()
	return current, unreachable == nil, nil
}

// planAddons returns what `up` would change of addons.
func planAddons(ctx context.Context, c *client.Client, addons []addon.Addon) ([]cluster.Step, error) {
	current, running, err := connect(ctx, c)
	if err != nil {
		return nil, err
	}
	var actual addon.Target
	var known map[string]applyset.Recorded
	if running {
		if known, err = current.List(ctx); err != nil {
			return nil, err
		}
		if actual, err = current.Target(); err != nil {
			return nil, err
		}
	}
	before, err := c.Spec()
	if err != nil && !errors.Is(err, client.ErrNoCluster) {
		return nil, err
	}
	return addon.Plan(addons, actual, known, before.Addons)
}

// applyAddons applies the addons of a cluster that is ready, and deletes those that it does
// not have any more.
func applyAddons(ctx context.Context, c *client.Client, name string, addons []addon.Addon, event func(daemonapi.Event)) error {
	kubeconfig, err := c.Kubeconfig(ctx)
	if err != nil {
		return err
	}
	current, err := addon.Connect(kubeconfig)
	if err != nil {
		return err
	}
	err = addon.Apply(ctx, current, addons, event)
	if errors.Is(err, context.Canceled) {
		return cli.Interrupted(fmt.Sprintf("interrupted; cluster %q is ready, but not all of its addons", name), fmt.Sprintf("run `skiff up %s` to continue", name))
	}
	return err
}
