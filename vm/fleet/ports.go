package fleet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// changedPorts returns ports after a change. Opening a port that is open does
// nothing; closing one that is not open is an error.
func changedPorts(ports []string, change daemonapi.PortChange) ([]string, error) {
	changed := slices.Clone(ports)
	for _, text := range change.Remove {
		p, err := cluster.ParsePort(text, "")
		if err != nil {
			return nil, err
		}
		i := indexOf(changed, p)
		if i < 0 {
			return nil, fmt.Errorf("port %s is not open", p)
		}
		changed = slices.Delete(changed, i, i+1)
	}
	for _, text := range change.Add {
		p, err := cluster.ParsePort(text, "")
		if err != nil {
			return nil, err
		}
		if indexOf(changed, p) < 0 {
			changed = append(changed, p.String())
		}
	}
	_, faults := cluster.ParsePorts(changed)
	return changed, errors.Join(faults...)
}

// indexOf returns where a port is, in whatever form; -1 if it is not there.
func indexOf(ports []string, p cluster.Port) int {
	return slices.IndexFunc(ports, func(text string) bool {
		other, err := cluster.ParsePort(text, "")
		return err == nil && other == p
	})
}
