package clusters

import (
	"slices"

	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/operation"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// autoDriver leaves the choice of the driver to skiff.
const autoDriver = "auto"

// createForm asks for the properties of a new cluster.
func (s *Screen) createForm() []screen.Request {
	fields := []widget.Field{
		{Name: "name", Label: "Name", Value: "dev", Hint: "lower-case letters, digits and dashes"},
		{Name: "control-planes", Label: "Control planes", Value: "1", Choices: []string{"1", "3"}, Hint: "← → to choose; 3 tolerate the loss of one"},
		{Name: "workers", Label: "Workers", Value: "2"},
		{Name: "driver", Label: "Driver", Value: autoDriver, Choices: []string{autoDriver, "lima", "sandbox"}, Hint: "lima: virtual machines; sandbox: namespaces on this host (Linux, root)"},
		{Name: "cpus", Label: "CPUs per node", Value: "2"},
		{Name: "memory", Label: "Memory per node", Value: "2Gi"},
		{Name: "disk", Label: "Disk per node", Value: "20Gi", Hint: "allocated as it fills up"},
	}
	if s.draft != nil && !s.exists(s.draft["name"]) {
		for i := range fields {
			fields[i].Value = s.draft[fields[i].Name]
		}
	}
	return []screen.Request{screen.Fill{Form: widget.NewForm("Create cluster", fields), Then: func(v map[string]string) []screen.Request {
		s.draft = v
		create := machine.Create{
			Cluster: v["name"], ControlPlanes: v["control-planes"], Workers: v["workers"],
			CPUs: v["cpus"], Memory: v["memory"], Disk: v["disk"], Driver: v["driver"],
		}
		if create.Driver == autoDriver {
			create.Driver = ""
		}
		return operation.Run(create)
	}}}
}

func (s *Screen) exists(name string) bool {
	return slices.ContainsFunc(s.clusters.All, func(c daemonapi.ClusterStatus) bool { return c.Name == name })
}

// operate answers the actions that are operations on one cluster.
func operate(a keys.Action, c daemonapi.ClusterStatus) []screen.Request {
	switch a {
	case keys.Start:
		return operation.Run(machine.Start{Cluster: c.Name})
	case keys.Stop:
		return []screen.Request{screen.Ask{
			Title: "Stop cluster " + c.Name + "?",
			Lines: []string{format.Count(len(c.Nodes), "machine is", "machines are") + " shut down. Disks are kept; u starts the cluster again."},
			Then:  operation.Run(machine.Stop{Cluster: c.Name}),
		}}
	case keys.Pause:
		return []screen.Request{screen.Ask{
			Title: "Pause cluster " + c.Name + "?",
			Lines: []string{format.Count(len(c.Nodes), "machine is", "machines are") + " frozen, and the API does not answer.", "Memory is kept; r resumes the cluster."},
			Then:  operation.Run(machine.Pause{Cluster: c.Name}),
		}}
	case keys.Resume:
		return operation.Run(machine.Resume{Cluster: c.Name})
	case keys.Delete:
		return confirmDelete(c)
	case keys.Snapshot:
		return snapshotForm(c.Name)
	case keys.LoadImage:
		return operation.LoadImage(c.Name)
	}
	return nil
}

func confirmDelete(c daemonapi.ClusterStatus) []screen.Request {
	memory, disk := usage(c)
	return []screen.Request{screen.Ask{
		Title: "Delete cluster " + c.Name + "?",
		Lines: []string{
			"This cannot be undone. Deleted are:", "",
			"  " + format.Count(len(c.Nodes), "machine", "machines") + " and " + format.Bytes(disk) + " of disks",
			"  all workloads, images and volumes", "  its certificates and kubeconfig entries", "",
			format.Bytes(memory) + " of memory is freed.",
		},
		Word: c.Name,
		Then: operation.Run(machine.Delete{Cluster: c.Name}),
	}}
}

func snapshotForm(cluster string) []screen.Request {
	form := widget.NewForm("Snapshot "+cluster, []widget.Field{
		{Name: "file", Label: "File", Value: cluster + ".db", Hint: "restore it with \"skiff etcd restore\""},
	})
	return []screen.Request{screen.Fill{Form: form, Then: func(v map[string]string) []screen.Request {
		return operation.Run(machine.Snapshot{Cluster: cluster, File: v["file"]})
	}}}
}
