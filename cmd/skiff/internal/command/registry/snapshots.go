package registry

import (
	"errors"
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/template"
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

// pruneTemplates deletes templates as "skiff template prune" does.
func (p *pruned) pruneTemplates(h home.Home, dryRun bool) error {
	waste, err := target.TemplateWaste(h)
	if err != nil {
		return err
	}
	goes := map[string]bool{}
	for _, one := range waste {
		if !dryRun {
			err := template.Remove(h, one.Key)
			if errors.Is(err, home.ErrLocked) {
				continue
			}
			if err != nil {
				return err
			}
		}
		goes[one.Key] = true
		p.TemplatesBytes += one.Bytes
	}
	all, _, err := template.List(h)
	for _, t := range all {
		if !goes[t.Key] {
			p.KeptTemplatesBytes += t.Bytes
		}
	}
	return err
}

// saySnapshots prints what pruneClusters and pruneTemplates did.
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
	if p.TemplatesBytes > 0 {
		fmt.Fprintf(s.Out, "%s %s of templates\n", verb, cli.Bytes(p.TemplatesBytes))
	}
	if p.KeptTemplatesBytes > 0 {
		fmt.Fprintf(s.Out, "templates use %s; `skiff template rm --all` deletes them\n", cli.Bytes(p.KeptTemplatesBytes))
	}
}
