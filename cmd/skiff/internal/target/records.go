package target

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/internal/owner"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/records"
)

// Records are what was recorded of a cluster that exists or existed.
type Records struct {
	// Name is the cluster's name, or the ID of the records of a deleted one.
	Name string
	// Client reaches the daemon that writes the records; nil if none does.
	Client *client.Client
	// Directory holds the records; it need not exist.
	Directory string
	// Temporary is a directory that exists, for files that are needed while the records
	// are read without the daemon.
	Temporary string
}

// OpenRecords returns the records of the cluster that given selects, as in Existing, or
// else those of the last deleted one of that name. given may also be the ID of records,
// as "skiff list --kept" shows it.
func OpenRecords(given string) (Records, error) {
	h, err := Home()
	if err != nil {
		return Records{}, err
	}
	name := given
	if !strings.Contains(given, ".") {
		if name, err = ExistingIn(h, given); err != nil {
			return Records{}, err
		}
		c, _, err := Client(name)
		if err != nil {
			return Records{}, err
		}
		dir := h.Cluster(name)
		switch _, err := c.Spec(); {
		case err == nil && dir.Held():
			return Records{Name: name, Client: c, Directory: dir.Records()}, nil
		case err == nil:
			return Records{Name: name, Directory: dir.Records(), Temporary: h.Cache()}, owner.MkdirAll(h.Cache(), 0o700)
		case !errors.Is(err, client.ErrNoCluster):
			return Records{}, Explain(name, err)
		}
	}
	kept, err := records.Find(h, name)
	if errors.Is(err, records.ErrNone) {
		return Records{}, cli.Invalid("run `skiff list` and `skiff list --kept` to see what exists", "no cluster and no records named %q", name)
	}
	if err != nil {
		return Records{}, fmt.Errorf("find the records of %s: %w", name, err)
	}
	return Records{Name: kept.ID, Directory: kept.Directory, Temporary: h.Cache()}, owner.MkdirAll(h.Cache(), 0o700)
}
