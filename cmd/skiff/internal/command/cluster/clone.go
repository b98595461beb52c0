package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/settings"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/offline"
)

// clone is a cluster that is made from a snapshot of another.
type clone struct {
	origin cluster.Origin
	// then is the state of the cluster in the snapshot.
	then cluster.State
	// memory is set if its machines continue with the memory in the snapshot.
	memory bool
	// boots is set if the cluster is made without the snapshot if that cannot be used.
	boots bool
}

// findClone returns the clone that the flag --from asks for, nil if it was not given.
func findClone(o upOptions) (*clone, error) {
	if o.from == "" && o.memory {
		return nil, cli.Invalid("", "--with-memory needs --from")
	}
	if o.from == "" {
		return nil, nil
	}
	if o.file != "" {
		return nil, cli.Invalid("change the clone with \"skiff up -f\" once it exists", "--from takes the configuration from the snapshot, so -f and SKIFF_FILE cannot be used with it")
	}
	origin, err := cluster.ParseOrigin(o.from)
	if err != nil {
		return nil, cli.Invalid("", "--from: %s", err)
	}
	if err := target.CheckName(origin.Cluster); err != nil {
		return nil, err
	}
	c, _, err := target.Client(origin.Cluster)
	if err != nil {
		return nil, err
	}
	if _, err := c.Spec(); err != nil {
		return nil, target.Explain(origin.Cluster, err)
	}
	then, err := c.SnapshotState(origin.Snapshot)
	if err != nil {
		return nil, target.NoSnapshot(c, origin.Cluster, origin.Snapshot, err)
	}
	if o.memory {
		m, err := c.ReadSnapshot(origin.Snapshot)
		if err != nil {
			return nil, target.NoSnapshot(c, origin.Cluster, origin.Snapshot, err)
		}
		if err := offline.CheckMemory(m, then); err != nil {
			return nil, cli.Invalid("make the clone without --with-memory", "%s", err)
		}
		origin.Shared = true
	}
	return &clone{origin: origin, then: then, memory: o.memory}, nil
}

// resolve returns what the clone is: what the flags and the environment change of the cluster in
// the snapshot. A clone that was interrupted is what it was begun with.
func (f *clone) resolve(cmd *cobra.Command, args []string) (cluster.Spec, error) {
	spec, err := settings.Resolve(cmd.Flags(), settings.File{}, f.then.CloneSpec(cluster.Default().Name))
	if err != nil {
		return spec, err
	}
	if len(args) > 0 {
		spec.Name = args[0]
	}
	if err := target.CheckName(spec.Name); err != nil {
		return spec, err
	}
	c, _, err := target.Client(spec.Name)
	if err != nil {
		return spec, err
	}
	begun, exists, err := c.Cloned(f.origin)
	if exists {
		return begun, err
	}
	var faults []error
	for _, fault := range cluster.CheckClone(f.then, spec) {
		faults = append(faults, cli.Invalid("change it with \"skiff up "+spec.Name+"\" once the clone exists", "%s", fault))
	}
	if err := errors.Join(faults...); err != nil {
		return spec, err
	}
	file := spec.Environment.File
	spec.Environment, err = environment(spec.CABundle)
	spec.Environment.File = file
	return spec, err
}

// work returns what makes the clone, for apply. No nodes are drained.
func (f *clone) work(c *client.Client) func(context.Context, cluster.Spec, daemonapi.Draining, func(daemonapi.Event)) error {
	return func(ctx context.Context, spec cluster.Spec, draining daemonapi.Draining, event func(daemonapi.Event)) error {
		err := c.Clone(ctx, cluster.CloneRequest{Origin: f.origin, Spec: spec, Memory: f.memory}, event)
		if err == nil || ctx.Err() != nil || !f.boots {
			return err
		}
		if _, absent := c.Spec(); !errors.Is(absent, client.ErrNoCluster) {
			return err // its machines are there
		}
		event(daemonapi.Event{
			Time: time.Now(), Phase: daemonapi.PhaseCopy, State: daemonapi.StateRunning,
			Message: fmt.Sprintf("%s was not used: %s; booting", f.origin, cli.OneLine(err.Error())),
		})
		return c.ApplyDraining(ctx, spec, draining, event)
	}
}

// fromFlags adds the flags --from and --with-memory.
func fromFlags(cmd *cobra.Command, from *string, memory *bool) {
	cmd.Flags().BoolVar(memory, "with-memory", false, "with --from: let the machines continue with the memory in the snapshot instead of booting them")
	cmd.Flags().StringVar(from, "from", "", "make the cluster from a `snapshot` of another one: CLUSTER/SNAPSHOT")
	_ = cmd.RegisterFlagCompletionFunc("from", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		h, err := target.Home()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		names, _ := h.Names()
		var all []cobra.Completion
		for _, name := range names {
			c, _, err := target.Client(name)
			if err != nil {
				continue
			}
			for _, snapshot := range target.Snapshots(c) {
				all = append(all, name+"/"+snapshot)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	})
}
