package feed

import (
	"time"

	"github.com/skiff-dev/skiff/kube/object"
)

// Logs asks for the logs of pods. It is answered with Lines.
type Logs struct {
	Cluster, Namespace string
	// Pods lists individual pods of any namespace. If it is empty, Labels selects
	// pods of Namespace, including those created later.
	Pods   []PodName
	Labels string
	// Container is one container's name; all containers if empty.
	Container string
	Previous  bool
	// Tail is the number of past lines to start with, per container.
	Tail int
}

// Key implements Need.
func (n Logs) Key() string {
	key := "logs " + n.Cluster + "/" + n.Namespace + " " + n.Labels + " " + n.Container
	for _, p := range n.Pods {
		key += " " + p.Namespace + "/" + p.Name
	}
	if n.Previous {
		key += " previous"
	}
	return key
}

// From implements Need.
func (n Logs) From() string { return n.Cluster }

// Lost implements Need.
func (Logs) Lost(f object.Freshness) any { return Lines{Freshness: f} }

// PodName identifies a pod within a cluster.
type PodName struct{ Namespace, Name string }

// Line is one line of a log.
type Line struct {
	// Source is "pod/container"; empty if there is only one source.
	Source string
	At     time.Time
	Text   string
}

// Lines answers Logs and Output with the lines written since the previous
// delivery.
type Lines struct {
	Lines []Line
	// Dropped counts lines that were discarded because they arrived too fast.
	Dropped int
	// Done reports that no more lines will follow; Failure is the reason if the
	// source ended with an error.
	Done    bool
	Failure string
	object.Freshness
}

// maxPending bounds the lines kept between two deliveries.
const maxPending = 5000

// AppendTo implements Appendable.
func (l Lines) AppendTo(earlier any) any {
	older, ok := earlier.(Lines)
	if !ok {
		return l
	}
	all := append(append([]Line(nil), older.Lines...), l.Lines...)
	l.Dropped += older.Dropped
	if extra := len(all) - maxPending; extra > 0 {
		all, l.Dropped = all[extra:], l.Dropped+extra
	}
	l.Lines = all
	return l
}
