package offline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/autostart"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/tunnel"
)

// Sweep ends the machines that a dead daemon left and removes what they and
// their cluster kept, the daemon's own files apart, the device that connects the
// host to the cluster, and its start at login. The caller has the lock.
func Sweep(dir home.Cluster) error {
	if err := drivers.Cleanup(dir); err != nil {
		return err
	}
	if err := tunnel.Release(tunnel.Name(dir)); err != nil {
		return err
	}
	if err := autostart.Remove(dir); err != nil {
		return err
	}
	if err := beginRemoval(dir); err != nil {
		return fmt.Errorf("remove the cluster: %w", err)
	}
	renamed, err := filepath.Glob(dir.State() + ".corrupt-*") // by earlier versions
	if err != nil {
		return fmt.Errorf("remove the cluster: %w", err)
	}
	for _, path := range append(renamed, dir.PKI(), dir.Machines(), dir.Network(), dir.Timings(), dir.Services(), dir.Restore(), dir.RestoreSnapshot(), dir.UpgradeSnapshot(), dir.Images(), dir.Records(), dir.Restoring(), dir.Snapshots()) {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the cluster: %w", err)
		}
	}
	for _, path := range []string{dir.PKI(), dir.State()} {
		if err := atomicfile.RemoveLeftovers(path); err != nil {
			return fmt.Errorf("remove the cluster: %w", err)
		}
	}
	// The mark goes last: until then the removal can be continued.
	if err := os.Remove(dir.Removing()); err != nil {
		return fmt.Errorf("remove the cluster: %w", err)
	}
	return nil
}

// beginRemoval leaves the mark of a removal in place of the state file, whatever
// that contains.
func beginRemoval(dir home.Cluster) error {
	err := os.Rename(dir.State(), dir.Removing())
	if errors.Is(err, fs.ErrNotExist) {
		return atomicfile.Write(dir.Removing(), nil, 0o600)
	}
	if err != nil {
		return err
	}
	return atomicfile.SyncDir(string(dir))
}
