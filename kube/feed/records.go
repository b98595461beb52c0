package feed

import (
	"strings"
	"time"

	"github.com/skiff-dev/skiff/kube/object"
)

// Graphs asks for what a node, a pod or the pods of a workload used over time. It is
// answered with GraphData.
type Graphs struct {
	Ref object.Ref
	// Range is how far back the graphs begin.
	Range time.Duration
}

// Key implements Need.
func (n Graphs) Key() string {
	return "graphs " + n.Ref.Cluster + " " + n.Ref.String() + " " + n.Range.String()
}

// From implements Need.
func (Graphs) From() string { return "" }

// Lost implements Need.
func (n Graphs) Lost(f object.Freshness) any { return GraphData{Range: n.Range, Freshness: f} }

// GraphData answers Graphs, from the metrics that were recorded.
type GraphData struct {
	Range time.Duration
	All   []Graph
	object.Freshness
}

// Unit is the unit of the values of a graph.
type Unit string

// The units.
const (
	Cores          Unit = "cores"
	Bytes          Unit = "bytes"
	BytesPerSecond Unit = "bytes/s"
)

// Graph is one measurement over time.
type Graph struct {
	Title string
	Unit  Unit
	// Values are evenly spaced, the newest last; NaN where nothing was measured.
	Values []float64
}

// StoredLogs asks for entries of the log store, which also has the logs of pods,
// containers and nodes that are gone. It is answered with Lines, once.
type StoredLogs struct {
	Cluster string
	// Namespaces of the pods; all if empty.
	Namespaces []string
	// Pod is a name, or the beginning of names followed by "*"; any if empty.
	Pod string
	// Container and Node; any if empty.
	Container, Node string
	// Text holds words that must all appear; a word after "!" must not.
	Text string
	// Query is one more condition, in LogsQL.
	Query string
	// Since is how far back to search.
	Since time.Duration
}

// Key implements Need.
func (n StoredLogs) Key() string {
	return strings.Join(append([]string{"stored logs", n.Cluster, n.Pod, n.Container, n.Node, n.Text, n.Query, n.Since.String()}, n.Namespaces...), "\x00")
}

// From implements Need.
func (StoredLogs) From() string { return "" }

// Lost implements Need.
func (StoredLogs) Lost(f object.Freshness) any { return Lines{Freshness: f} }
