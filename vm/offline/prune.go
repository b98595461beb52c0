package offline

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/records"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// Pruned is what of a cluster's files was freed, or would be, and what stays, in bytes.
type Pruned struct {
	// Unusable is what nothing can use any more: snapshots and clones that were never completed, and the
	// saved memory of a stopped cluster that its next start would not use.
	Unusable int64
	// Snapshots are those that the user asked to remove, Kept all others.
	Snapshots, Kept int64
}

// Prune frees what nothing can use any more, and all snapshots if the user asked for that. With
// dryRun it changes nothing. A cluster that another command is changing is left as it is.
// images holds the node images.
func Prune(dir home.Cluster, images string, snapshots, dryRun bool, now time.Time) (Pruned, error) {
	var p Pruned
	for _, part := range []struct {
		acquire func() (*home.Lock, error)
		prune   func() error
	}{
		{dir.AcquireSnapshots, func() error { return p.pruneSnapshots(dir, snapshots, dryRun) }},
		{dir.Acquire, func() error { return p.pruneMemory(dir, images, dryRun, now) }},
	} {
		if dryRun {
			if err := part.prune(); err != nil {
				return p, err
			}
			continue
		}
		lock, err := part.acquire()
		if errors.Is(err, home.ErrLocked) {
			continue
		}
		if err == nil {
			err = errors.Join(part.prune(), lock.Release())
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *Pruned) pruneSnapshots(dir home.Cluster, remove, dryRun bool) error {
	unfinished, err := snapshot.Unfinished(dir)
	if err != nil {
		return err
	}
	for _, path := range unfinished {
		p.Unusable += records.Size(path)
	}
	if !dryRun {
		if err := snapshot.Clean(dir); err != nil {
			return err
		}
	}
	all, _, err := snapshot.List(dir)
	if err != nil {
		return err
	}
	for _, m := range all {
		if !remove {
			p.Kept += m.Bytes()
			continue
		}
		p.Snapshots += m.Bytes()
		if !dryRun {
			if err := snapshot.Remove(dir, m.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Pruned) pruneMemory(dir home.Cluster, images string, dryRun bool, now time.Time) error {
	if dryRun && dir.Held() { // machines that run have no saved memory
		return nil
	}
	state, err := cluster.ReadState(dir.State())
	if cluster.IsAbsent(err) {
		return p.pruneClone(dir, dryRun)
	}
	if err != nil {
		return nil //nolint:nilerr // nothing is known of its machines
	}
	native, err := image.Find(images, state.Spec.KubernetesVersion)
	known := err == nil
	for _, name := range state.Names() {
		current := ""
		if n, _ := state.Find(name); known && n.Arch == "" {
			current = native.Digest
		} else if foreign, err := image.FindForeign(images, native, n.Arch); known && err == nil {
			current = foreign.Digest
		}
		folder := filepath.Join(dir.Machines(), name)
		described, err := saved.Describe(folder)
		if err != nil || usable(folder, current, now) {
			continue
		}
		p.Unusable += described.Bytes
		if dryRun {
			continue
		}
		if err := saved.Discard(folder); err != nil {
			return err
		}
	}
	return nil
}

// pruneClone removes what is left of a cluster that was being made from a snapshot.
func (p *Pruned) pruneClone(dir home.Cluster, dryRun bool) error {
	if !snapshot.Pending(dir) {
		return nil
	}
	p.Unusable += records.Size(dir.Restoring())
	if dryRun {
		return nil
	}
	_, err := snapshot.Recover(dir)
	return err
}

// usable reports whether the memory that is saved in a folder may be used by the next start
// with the image of a digest, which may be unknown.
func usable(folder, current string, now time.Time) bool {
	m, err := saved.Read(folder)
	if err != nil {
		return false
	}
	return now.Sub(m.Time) <= saved.MaxAge && (current == "" || m.Origin.Image == current)
}
