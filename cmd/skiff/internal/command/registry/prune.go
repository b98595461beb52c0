package registry

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/records"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

// pruneOptions are the flags of prune.
type pruneOptions struct {
	registryapi.PruneRequest
	// records deletes the records of deleted clusters, too.
	records bool
	// snapshots deletes all snapshots of clusters, too.
	snapshots bool
}

// pruned is the result in JSON.
type pruned struct {
	registryapi.Pruned
	// BuildBytes is the size of the layers that builds have left on nodes.
	BuildBytes int64 `json:"buildBytes"`
	// RecordsBytes is the size of the records of deleted clusters that were, or would be,
	// deleted.
	RecordsBytes int64 `json:"recordsBytes"`
	// KeptBytes is the size of those that stay.
	KeptBytes int64 `json:"keptBytes"`
	// UnusableBytes is the size of unfinished snapshots and of saved memory that nothing can
	// use any more.
	UnusableBytes int64 `json:"unusableBytes"`
	// SnapshotsBytes is the size of the snapshots that were, or would be, deleted.
	SnapshotsBytes int64 `json:"snapshotsBytes"`
	// KeptSnapshotsBytes is the size of those that stay.
	KeptSnapshotsBytes int64 `json:"keptSnapshotsBytes"`
	// TemplatesBytes is the size of the templates that were, or would be, deleted.
	TemplatesBytes int64 `json:"templatesBytes"`
	// KeptTemplatesBytes is the size of those that stay.
	KeptTemplatesBytes int64 `json:"keptTemplatesBytes"`
}

// Prune returns the command `prune`.
func Prune(s cli.Streams) *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Free disk space: delete images that can be pulled or built again",
		Long: `Delete what the registry keeps of other registries, the pushed images that have lost their
tag to a newer one, and the layers that "skiff image build" keeps on the nodes of running
clusters. With --all, delete all pushed images, too. Images on the nodes are not affected.
Snapshots that were never completed are deleted, and so are the memory of a stopped cluster
that its next start would not use, and what "skiff template prune" deletes.

With --records, also delete the records of deleted clusters that "skiff list --kept"
lists. With --snapshots, also delete all snapshots of all clusters.`,
		Example: `  # Show what would be freed
  skiff prune --dry-run

  # Free it
  skiff prune

  # Delete everything that was pushed, too
  skiff prune --all

  # Delete the records of deleted clusters, too
  skiff prune --records`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only show what would be freed")
	cmd.Flags().BoolVar(&o.All, "all", false, "delete all pushed images, too")
	cmd.Flags().BoolVar(&o.records, "records", false, "delete the records of deleted clusters, too")
	cmd.Flags().BoolVar(&o.snapshots, "snapshots", false, "delete all snapshots of all clusters, too")
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		return prune(cmd, s, o, inJSON)
	}
	return cmd
}

func prune(cmd *cobra.Command, s cli.Streams, o pruneOptions, asJSON bool) error {
	c, dir, err := connect()
	if err != nil {
		return err
	}
	var result pruned
	if _, err := os.Stat(string(dir)); err == nil {
		// Without users it ends again by itself.
		if _, err := c.Start(cmd.Context()); err != nil {
			return err
		}
		if result.Pruned, err = c.Prune(cmd.Context(), o.PruneRequest); err != nil {
			return explain(err)
		}
	}
	h, err := target.Home()
	if err != nil {
		return err
	}
	if result.RecordsBytes, result.KeptBytes, err = pruneRecords(h, o); err != nil {
		return err
	}
	if err := result.pruneClusters(h, o); err != nil {
		return err
	}
	if err := result.pruneTemplates(h, o.DryRun); err != nil {
		return err
	}
	// What was freed is shown even if a node does not answer.
	result.BuildBytes, err = pruneBuilds(cmd.Context(), h, o.DryRun)
	if asJSON {
		return errors.Join(s.JSON(result), err)
	}
	verb := "freed"
	if o.DryRun {
		verb = "would free"
	}
	fmt.Fprintf(s.Out, "%s %s: %s of pushed images, %s of cached ones and %s of build layers\n", verb,
		cli.Bytes(result.PushedBytes+result.CachedBytes+result.BuildBytes),
		cli.Bytes(result.PushedBytes), cli.Bytes(result.CachedBytes), cli.Bytes(result.BuildBytes))
	result.saySnapshots(s, o, verb)
	switch {
	case o.records:
		fmt.Fprintf(s.Out, "%s %s of records of deleted clusters\n", verb, cli.Bytes(result.RecordsBytes))
	case result.KeptBytes > 0:
		fmt.Fprintf(s.Out, "records of deleted clusters use %s; `skiff prune --records` deletes them\n", cli.Bytes(result.KeptBytes))
	}
	return err
}

// pruneRecords deletes the records of deleted clusters if the user asked for it. It
// returns what is freed and what stays.
func pruneRecords(h home.Home, o pruneOptions) (freed, stays int64, err error) {
	all, err := records.List(h)
	if err != nil {
		return 0, 0, err
	}
	for _, kept := range all {
		if !o.records {
			stays += kept.Bytes
			continue
		}
		if !o.DryRun {
			if err := records.Remove(h, kept.ID); err != nil {
				return freed, stays, err
			}
		}
		freed += kept.Bytes
	}
	return freed, stays, nil
}
