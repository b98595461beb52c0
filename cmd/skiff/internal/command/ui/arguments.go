package ui

import (
	"strconv"

	"github.com/skiff-dev/skiff/tui/machine"
)

// arguments returns the skiff command line for an operation of the dashboard.
func arguments(o machine.Operation) []string {
	switch o := o.(type) {
	case machine.Create:
		return create(o)
	case machine.Start:
		return []string{"up", o.Cluster}
	case machine.Stop:
		return []string{"stop", o.Cluster}
	case machine.Pause:
		return []string{"pause", o.Cluster}
	case machine.Resume:
		return []string{"resume", o.Cluster}
	case machine.Delete:
		return []string{"down", o.Cluster}
	case machine.Scale:
		return []string{"up", o.Cluster, "--workers", strconv.Itoa(o.Workers)}
	case machine.Restart:
		return []string{"restart", o.Node, "--cluster", o.Cluster}
	case machine.LoadImage:
		return []string{"image", "load", o.Image, "--cluster", o.Cluster}
	case machine.Snapshot:
		return []string{"etcd", "snapshot", o.File, "--cluster", o.Cluster}
	case machine.NodeLogs:
		return []string{"logs", o.Node, "--cluster", o.Cluster, "--source", o.Source, "--follow"}
	case machine.Shell:
		return []string{"shell", o.Node, "--cluster", o.Cluster}
	case machine.Command:
		return o.Args
	}
	return nil
}

func create(o machine.Create) []string {
	args := []string{"up", o.Cluster}
	for _, flag := range []struct{ name, value string }{
		{"control-planes", o.ControlPlanes}, {"workers", o.Workers}, {"cpus", o.CPUs}, {"memory", o.Memory}, {"disk", o.Disk}, {"driver", o.Driver},
	} {
		if flag.value != "" {
			args = append(args, "--"+flag.name, flag.value)
		}
	}
	return args
}
