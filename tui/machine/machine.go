// Package machine lists what the dashboard can do to the clusters on this host
// and to their machines, as plain values.
package machine

import (
	"fmt"
	"strings"
)

// Operation is one of the operations in this package.
type Operation interface {
	// Title describes the operation in a few words.
	Title() string
	operation()
}

// Create creates a cluster. Empty fields leave the choice to skiff.
type Create struct {
	Cluster string
	// ControlPlanes, Workers and CPUs are numbers, Memory and Disk quantities, as
	// the user typed them: whoever runs the operation validates them.
	ControlPlanes, Workers, CPUs, Memory, Disk string
	Driver                                     string
}

// Start starts a cluster, or repairs a running one.
type Start struct{ Cluster string }

// Stop shuts the machines of a cluster down.
type Stop struct{ Cluster string }

// Pause freezes the machines of a cluster.
type Pause struct{ Cluster string }

// Resume resumes the machines of a paused cluster.
type Resume struct{ Cluster string }

// Delete deletes a cluster with all its machines.
type Delete struct{ Cluster string }

// Scale changes the number of a cluster's workers.
type Scale struct {
	Cluster string
	Workers int
}

// Restart restarts the machine of a node.
type Restart struct{ Cluster, Node string }

// LoadImage loads a container image into all nodes of a cluster. Image is a
// file, or a name that the host's container engine knows.
type LoadImage struct{ Cluster, Image string }

// Snapshot saves a snapshot of a cluster's etcd to a file.
type Snapshot struct{ Cluster, File string }

// NodeLogs follows a log of a node. Source is a program, "kernel" or "init".
type NodeLogs struct{ Cluster, Node, Source string }

// Shell opens a shell on a node. It needs the terminal.
type Shell struct{ Cluster, Node string }

// Command is a skiff command line that the user typed.
type Command struct{ Args []string }

// Title implements Operation.
func (o Create) Title() string { return "Create cluster " + o.Cluster }

// Title implements Operation.
func (o Start) Title() string { return "Start cluster " + o.Cluster }

// Title implements Operation.
func (o Stop) Title() string { return "Stop cluster " + o.Cluster }

// Title implements Operation.
func (o Pause) Title() string { return "Pause cluster " + o.Cluster }

// Title implements Operation.
func (o Resume) Title() string { return "Resume cluster " + o.Cluster }

// Title implements Operation.
func (o Delete) Title() string { return "Delete cluster " + o.Cluster }

// Title implements Operation.
func (o Scale) Title() string { return fmt.Sprintf("Scale workers of %s to %d", o.Cluster, o.Workers) }

// Title implements Operation.
func (o Restart) Title() string { return "Restart node " + o.Node }

// Title implements Operation.
func (o LoadImage) Title() string { return "Load image " + o.Image }

// Title implements Operation.
func (o Snapshot) Title() string { return "Snapshot " + o.Cluster }

// Title implements Operation.
func (o NodeLogs) Title() string { return "Logs of " + o.Node + "/" + o.Source }

// Title implements Operation.
func (o Shell) Title() string { return "Shell on " + o.Node }

// Title implements Operation.
func (o Command) Title() string { return "skiff " + strings.Join(o.Args, " ") }

func (Create) operation()    {}
func (Start) operation()     {}
func (Stop) operation()      {}
func (Pause) operation()     {}
func (Resume) operation()    {}
func (Delete) operation()    {}
func (Scale) operation()     {}
func (Restart) operation()   {}
func (LoadImage) operation() {}
func (Snapshot) operation()  {}
func (NodeLogs) operation()  {}
func (Shell) operation()     {}
func (Command) operation()   {}
