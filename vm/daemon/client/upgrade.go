package client

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Upgrade gives all nodes the node image of this host for a minor version of Kubernetes, or
// for the cluster's own if that is empty, and calls event as Apply does. An upgrade that is
// not possible changes nothing.
func (c *Client) Upgrade(ctx context.Context, kubernetes string, draining daemonapi.Draining, event func(daemonapi.Event)) error {
	request := daemonapi.UpgradeRequest{ImageDir: c.config.ImageDir, Kubernetes: kubernetes, Draining: draining}
	err := c.stream(ctx, daemonapi.PathUpgrade, request, event)
	if !errors.Is(err, ErrNoDaemon) {
		return c.olderImage(kubernetes, err)
	}
	// The daemon may have been killed in the middle of this upgrade. Starting the cluster
	// continues it.
	state, failed := cluster.ReadState(c.dir().State())
	if failed != nil || !state.Upgrade.Active() {
		return errors.Join(err, c.absent(failed))
	}
	if failed := cluster.CheckUpgrade(state, state.Upgrade.From, cmp.Or(kubernetes, state.Spec.KubernetesVersion)); failed != nil {
		return operation.Invalid(failed, "")
	}
	return c.ApplyDraining(ctx, state.Spec, draining, event)
}

// PlanUpgrade returns what Upgrade would do.
func (c *Client) PlanUpgrade(ctx context.Context, kubernetes string) (cluster.UpgradePlan, error) {
	var plan cluster.UpgradePlan
	request := daemonapi.UpgradeRequest{ImageDir: c.config.ImageDir, Kubernetes: kubernetes}
	err := c.call(ctx, http.MethodPost, daemonapi.PathUpgradePlan, request, &plan)
	return plan, c.olderImage(kubernetes, err)
}

// olderImage explains the failure of a daemon that cannot use a node image which this program
// can use.
func (c *Client) olderImage(version string, err error) error {
	var failure *daemonapi.Failure
	if !errors.As(err, &failure) || !strings.HasPrefix(failure.Cause, image.ErrOther.Error()) {
		return err
	}
	if version == "" {
		spec, _ := c.Spec()
		version = spec.KubernetesVersion
	}
	if _, unusable := image.Find(c.config.ImageDir, version); unusable != nil {
		return err
	}
	return c.older("cannot start nodes with the node images of this one")
}
