package fleet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// changePorts returns the ports after a change, and those that it opens. Opening a
// port that is open does nothing; closing one that is not open is an error.
func changePorts(ports []string, change daemonapi.PortChange) (changed []string, opened []cluster.Port, err error) {
	changed = slices.Clone(ports)
	for _, text := range change.Remove {
		p, err := cluster.ParsePort(text, "")
		if err != nil {
			return nil, nil, err
		}
		i := indexOf(changed, p)
		if i < 0 {
			return nil, nil, fmt.Errorf("port %s is not open", p)
		}
		changed = slices.Delete(changed, i, i+1)
	}
	for _, text := range change.Add {
		p, err := cluster.ParsePort(text, "")
		if err != nil {
			return nil, nil, err
		}
		if indexOf(changed, p) < 0 {
			changed, opened = append(changed, p.String()), append(opened, p)
		}
	}
	_, faults := cluster.ParsePorts(changed)
	return changed, opened, errors.Join(faults...)
}

// indexOf returns the index of a port, however it is written; -1 if it is missing.
func indexOf(ports []string, p cluster.Port) int {
	return slices.IndexFunc(ports, func(text string) bool {
		other, err := cluster.ParsePort(text, "")
		return err == nil && other == p
	})
}
