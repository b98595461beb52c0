package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/edge/forward"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Check returns what is wrong with spec on this host, before anything is changed:
// a *daemonapi.Failure with Invalid set, or several joined by errors.Join.
func (c *Client) Check(ctx context.Context, spec cluster.Spec) error {
	state, err := cluster.ReadState(c.dir().State())
	known := err == nil
	if err != nil && !cluster.IsAbsent(err) {
		return operation.AsFailure(err, "")
	}
	version := cmp.Or(spec.KubernetesVersion, state.Spec.KubernetesVersion)
	node, missing := image.Find(c.config.ImageDir, version)
	if missing == nil {
		spec.KubernetesVersion = node.Minor
	}
	faults := []error{offline.Check(c.dir(), spec, c.config.Host(c.config.Home), state, known)}
	if missing != nil {
		if slices.Contains(kubenames.Versions(), cmp.Or(version, kubenames.Default)) { // otherwise the version is the fault
			faults = append(faults, noImage(missing, version, state, known))
		}
	} else if entry, err := drivers.Find(spec.Driver); err == nil {
		if err := entry.Available(node.Arch); err != nil {
			faults = append(faults, &daemonapi.Failure{Cause: err.Error(), Invalid: true})
		}
		faults = append(faults, c.checkForeign(entry, spec, state, node)...)
	}
	faults = append(faults, c.checkPort(ctx, spec, state), checkAddress(spec, state))
	faults = append(faults, checkPorts(ctx, spec, state)...)
	return errors.Join(faults...)
}

// noImage is operation.NoImage with the way to a newer version, for a cluster that has kept its
// version while newer programs came with another default one.
func noImage(missing error, version string, state cluster.State, known bool) error {
	failure := operation.NoImage(missing, version)
	if next := cluster.NextVersion(version); known && !errors.Is(missing, image.ErrOther) && version != kubenames.Default && slices.Contains(kubenames.Versions(), next) {
		failure.Hint += fmt.Sprintf("; once the cluster runs, \"skiff upgrade %s --kubernetes %s\" gives it a newer version", state.Spec.Name, next)
	}
	return failure
}

// checkForeign returns what this host lacks for machines of another architecture.
func (c *Client) checkForeign(entry drivers.Entry, spec cluster.Spec, state cluster.State, native image.Image) []error {
	arch := cluster.ForeignArch(spec)
	if arch == "" || entry.NoEmulation != nil || !slices.Contains(cluster.Architectures(), arch) {
		return nil // there are none, or they are the fault
	}
	var faults []error
	if err := cluster.CheckForeign(state, spec); err != nil {
		faults = append(faults, operation.Invalid(err, ""))
	}
	if err := entry.Available(arch); err != nil {
		faults = append(faults, operation.Invalid(err, ""))
	}
	if _, err := image.FindForeign(c.config.ImageDir, native, arch); err != nil {
		faults = append(faults, operation.NoForeignImage(err, native.Minor, arch))
	}
	return faults
}

// checkPorts returns a failure for each port of the host that the user asks for and
// that is in use. It skips those of the cluster's current configuration: its daemon may
// use them, and reports them in its status if another program does.
func checkPorts(ctx context.Context, spec cluster.Spec, state cluster.State) []error {
	wanted, _ := cluster.ParsePorts(spec.Ports) // the faults are those of the spec
	had, _ := cluster.ParsePorts(state.Spec.Ports)
	var faults []error
	for _, p := range wanted {
		if slices.ContainsFunc(had, p.SamePlace) {
			continue
		}
		if err := forward.Check(ctx, p); err != nil {
			faults = append(faults, &daemonapi.Failure{Cause: err.Error(), Invalid: true, Hint: "choose another port for " + p.String()})
		}
	}
	return faults
}

// checkPort returns a failure if the API port is in use by anything but the
// cluster's own daemon.
func (c *Client) checkPort(ctx context.Context, spec cluster.Spec, state cluster.State) error {
	port := spec.APIPort
	if port == 0 {
		port = state.Spec.APIPort
	}
	if port <= 0 || port > 65535 {
		return nil
	}
	if conn, err := c.dial(ctx); err == nil {
		return conn.Close()
	}
	spec.APIPort = port
	first, _ := cluster.APIListeners(spec)
	listener, err := net.Listen("tcp", first)
	if err != nil {
		host, _, _ := net.SplitHostPort(first)
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("port %d on %s is in use", port, host), Invalid: true,
			Hint: "choose another with --api-port, or 0 for any free one",
		}
	}
	return listener.Close()
}

// checkAddress returns a failure if the API cannot answer at a new address that the
// user asks for, because it is not one of this host.
func checkAddress(spec cluster.Spec, state cluster.State) error {
	spec.APIPort = 0 // whether the port is free is known when it is opened
	_, second := cluster.APIListeners(spec)
	if second == "" || spec.APIAddress == state.Spec.APIAddress {
		return nil
	}
	listener, err := net.Listen("tcp", second)
	if err != nil {
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("apiAddress %s is not an address of this host", spec.APIAddress), Invalid: true,
			Hint: "choose one of its addresses, or 0.0.0.0 for all",
		}
	}
	return listener.Close()
}
