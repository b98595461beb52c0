package app

import (
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/addresses"
	"github.com/skiff-dev/skiff/tui/screen/clusters"
	"github.com/skiff-dev/skiff/tui/screen/containers"
	"github.com/skiff-dev/skiff/tui/screen/controlplane"
	"github.com/skiff-dev/skiff/tui/screen/document"
	"github.com/skiff-dev/skiff/tui/screen/forwards"
	"github.com/skiff-dev/skiff/tui/screen/help"
	"github.com/skiff-dev/skiff/tui/screen/logs"
	"github.com/skiff-dev/skiff/tui/screen/namespaces"
	"github.com/skiff-dev/skiff/tui/screen/nodes"
	"github.com/skiff-dev/skiff/tui/screen/objects"
	"github.com/skiff-dev/skiff/tui/screen/pulse"
	"github.com/skiff-dev/skiff/tui/screen/resources"
	"github.com/skiff-dev/skiff/tui/screen/tree"
	"github.com/skiff-dev/skiff/tui/screen/workloads"
)

// build returns the screen that a destination names.
func (m *Model) build(to screen.Destination) screen.Screen {
	w := &m.world
	switch to := to.(type) {
	case screen.Objects:
		return objects.New(w, to)
	case screen.Workloads:
		return workloads.New(w, to.Namespaces)
	case screen.Namespaces:
		return namespaces.New(w)
	case screen.Clusters:
		return clusters.New(w)
	case screen.Nodes:
		return nodes.New(w, to)
	case screen.Pulse:
		return pulse.New(w)
	case screen.ControlPlane:
		if to.Cluster == "" {
			to.Cluster = w.Clusters[0]
		}
		return controlplane.New(to.Cluster)
	case screen.Containers:
		return containers.New(to.Pod)
	case screen.Tree:
		return tree.New(to.Ref)
	case screen.Document:
		return document.New(to.Need)
	case screen.Logs:
		return logs.New(to)
	case screen.StoredLogs:
		return logs.NewStored(to)
	case screen.Output:
		return logs.NewOutput(to)
	case screen.Resources:
		return resources.New(w, m.config.Settings.Aliases)
	case screen.Addresses:
		return addresses.New(w)
	case screen.Forwards:
		return forwards.New()
	default: // screen.Help
		return help.New(m.top(), commandHelp())
	}
}

// starts are the screens that the dashboard can start with when a cluster is
// selected.
var starts = []struct {
	name string
	to   screen.Destination
}{
	{"pods", screen.Objects{Resource: object.Pods}},
	{"workloads", screen.Workloads{}},
	{"nodes", screen.Nodes{}},
	{"pulse", screen.Pulse{}},
	{"controlplane", screen.ControlPlane{}},
}

// Starts returns the possible values of Config.Start.
func Starts() []string {
	var names []string
	for _, s := range starts {
		names = append(names, s.name)
	}
	return append(names, startClusters)
}

// startClusters starts with the list of clusters.
const startClusters = "clusters"

// startScreen returns the destination with the given name in starts, or nil.
func startScreen(name string) screen.Destination {
	for _, s := range starts {
		if s.name == name {
			return s.to
		}
	}
	return nil
}
