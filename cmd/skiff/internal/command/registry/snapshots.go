package registry

import (
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/offline"
)

// pruneClusters frees what nothing can use of the files of clusters, and their snapshots if the
// user asked for that.
func (p *pruned) pruneClusters(h home.Home, o pruneOptions) error {
	images, err := target.ImageDir()
	if err != nil {
		return err
	}
	names, err := h.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		of, err := offline.Prune(h.Cluster(name), images, o.snapshots, o.DryRun, time.Now())
		p.UnusableBytes += of.Unusable
		p.SnapshotsBytes += of.Snapshots
		p.KeptSnapshotsBytes += of.Kept
		if err != nil {
			return fmt.Errorf("cluster %s: %w", name, err)
		}
	}
	return nil
}

// saySnapshots prints what pruneClusters did.
func (p *pruned) saySnapshots(s cli.Streams, o pruneOptions, verb string) {
	if p.UnusableBytes > 0 {
		fmt.Fprintf(s.Out, "%s %s of unfinished snapshots and of memory that cannot be used any more\n", verb, cli.Bytes(p.UnusableBytes))
	}
	switch {
	case o.snapshots:
		fmt.Fprintf(s.Out, "%s %s of snapshots\n", verb, cli.Bytes(p.SnapshotsBytes))
	case p.KeptSnapshotsBytes > 0:
		fmt.Fprintf(s.Out, "snapshots of clusters use %s; `skiff prune --snapshots` deletes them\n", cli.Bytes(p.KeptSnapshotsBytes))
	}
}
