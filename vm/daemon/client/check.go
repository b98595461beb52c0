package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

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
	faults := []error{offline.Check(c.dir(), spec, offline.Host(c.config.Home), state, known)}
	node, err := image.Read(c.config.ImageDir)
	if err != nil {
		failure := operation.AsFailure(err, "")
		failure.Invalid = true
		if failure.Hint == "" {
			failure.Hint = "build it with \"make image\""
		}
		faults = append(faults, failure)
	} else if entry, err := drivers.Find(spec.Driver); err == nil {
		if err := entry.Available(node.Arch); err != nil {
			faults = append(faults, &daemonapi.Failure{Cause: err.Error(), Invalid: true})
		}
	}
	faults = append(faults, c.checkPort(ctx, spec, state), checkAddress(spec, state))
	faults = append(faults, checkPorts(ctx, spec, state)...)
	return errors.Join(faults...)
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
