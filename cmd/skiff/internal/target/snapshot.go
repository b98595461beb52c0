package target

import (
	"errors"
	"fmt"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// Snapshots returns the names of a cluster's snapshots that are not damaged, none if they cannot
// be read.
func Snapshots(c *client.Client) []string {
	all, _, err := c.Snapshots()
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range all {
		names = append(names, m.Name)
	}
	return names
}

// NoSnapshot returns err with the nearest name of a snapshot as a hint if err is that there is
// none of the given name.
func NoSnapshot(c *client.Client, cluster, name string, err error) error {
	switch {
	case errors.Is(err, snapshot.ErrName), errors.Is(err, snapshot.ErrDamaged):
		return cli.Invalid("", "%s", err)
	case !errors.Is(err, snapshot.ErrNone):
		return err
	}
	hint := "run `skiff snapshot list " + cluster + "` to see the snapshots"
	if meant := nearest.Of(name, Snapshots(c)); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	return cli.Invalid(hint, "cluster %q has no snapshot named %q", cluster, name)
}
