package daemon

import (
	"fmt"
	"os"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/lima"
	"github.com/skiff-dev/skiff/vm/sandbox"
)

// EndStray ends the machines that a dead daemon left: most die with it, but what is
// frozen in cgroups of the first version cannot die. The caller has the lock.
func EndStray(dir home.Cluster) error {
	if err := lima.EndStray(dir.Machines()); err != nil {
		return err
	}
	return sandbox.EndStray(dir.Machines())
}

// Sweep ends the machines that a dead daemon left and removes what they and
// their cluster kept, the daemon's own files apart. The caller has the lock.
func Sweep(dir home.Cluster) error {
	if err := EndStray(dir); err != nil {
		return err
	}
	// The state goes first: without it there is no cluster, whatever is left
	// when this is interrupted.
	for _, path := range []string{
		dir.State(), dir.PKI(), dir.Machines(), dir.Network(), dir.Timings(),
	} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the cluster: %w", err)
		}
	}
	if err := atomicfile.RemoveLeftovers(dir.PKI()); err != nil {
		return fmt.Errorf("remove the cluster: %w", err)
	}
	return nil
}
