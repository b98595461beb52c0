// Package operation records one change to a cluster while it runs. Everyone who
// listens receives every event from the first to the last, no matter when they
// start to listen, and every failure tells the user what to do next.
package operation

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Kind is what an operation does.
type Kind string

// The kinds. A daemon runs one operation at a time; only KindStop and KindDown
// interrupt another one.
const (
	KindApply  Kind = "apply"
	KindRotate Kind = "rotate the encryption key"
	// KindAuthorities replaces authorities.
	KindAuthorities Kind = "replace the authorities"
	KindPause       Kind = "pause"
	KindResume      Kind = "resume"
	KindStop        Kind = "stop"
	KindDown        Kind = "down"

	KindRestore Kind = "restore the database"
	KindFault   Kind = "begin a fault"
	KindRepair  Kind = "repair a node"
	KindScale   Kind = "scale a group of nodes"
	// KindForget removes the keys of the cluster in the snapshot from which this one was made.
	KindForget Kind = "replace the keys of the other cluster"

	// KindSleep pauses a cluster that nobody uses, and KindWake resumes it.
	KindSleep Kind = "pause an unused cluster"
	KindWake  Kind = "wake"
)

// KindUpgrade returns the kind of an upgrade to a version of Kubernetes; empty if that stays.
func KindUpgrade(version string) Kind { return Kind(strings.TrimSpace("upgrade " + version)) }

// KindSnapshot returns the kind of making a snapshot.
func KindSnapshot(name string) Kind { return Kind("take the snapshot " + name) }

// KindRestoreSnapshot returns the kind of restoring a snapshot.
func KindRestoreSnapshot(name string) Kind { return Kind("restore the snapshot " + name) }

// KindClone returns the kind of making the cluster from a snapshot of another.
func KindClone(origin string) Kind { return Kind("clone " + origin) }

// KindRestart returns the kind of a restart of one node.
func KindRestart(node string) Kind { return Kind("restart " + node) }

// KindRemoveNodes returns the kind of a removal of nodes.
func KindRemoveNodes(names []string) Kind { return Kind("remove " + strings.Join(names, " ")) }

// KindReplaceNodes returns the kind of a replacement of nodes.
func KindReplaceNodes(names []string) Kind { return Kind("replace " + strings.Join(names, " ")) }

// Operation is one running or finished change. Its methods may be called
// concurrently.
type Operation struct {
	kind   Kind
	cancel context.CancelCauseFunc
	done   chan struct{} // closed with the last event

	mu      sync.Mutex // guards events, started and changed
	events  []daemonapi.Event
	started map[subject]time.Time
	changed chan struct{} // closed and replaced at every event
}

// subject is what an event is about.
type subject struct {
	node  string
	phase daemonapi.Phase
}

// New returns an operation that has just begun. Cancel calls cancel, which may
// be nil if the operation cannot be canceled.
func New(kind Kind, cancel context.CancelCauseFunc) *Operation {
	return &Operation{
		kind: kind, cancel: cancel, done: make(chan struct{}),
		started: map[subject]time.Time{}, changed: make(chan struct{}),
	}
}

// Kind returns what the operation does.
func (o *Operation) Kind() Kind { return o.kind }

// Done returns a channel that is closed once the operation has finished.
func (o *Operation) Done() <-chan struct{} { return o.done }

// Running reports whether the operation has not finished yet.
func (o *Operation) Running() bool {
	select {
	case <-o.done:
		return false
	default:
		return true
	}
}

// Cancel asks the operation to stop because of cause. It does not wait.
func (o *Operation) Cancel(cause error) {
	if o.cancel != nil {
		o.cancel(cause)
	}
}

// Begin records that a phase begins.
func (o *Operation) Begin(node string, phase daemonapi.Phase, message string) {
	o.Add(daemonapi.Event{Node: node, Phase: phase, State: daemonapi.StateRunning, Message: message})
}

// End records that a phase is over. It succeeded if failure is nil.
func (o *Operation) End(node string, phase daemonapi.Phase, failure *daemonapi.Failure) {
	o.Add(ended(daemonapi.Event{Node: node, Phase: phase, Failure: failure}))
}

// Finish records the last event.
func (o *Operation) Finish(message string, failure *daemonapi.Failure) {
	o.Add(ended(daemonapi.Event{Phase: daemonapi.PhaseCluster, Message: message, Failure: failure, Done: true}))
}

// ended returns the event with its state. It has a copy of the failure: whoever returns that
// may add a hint while listeners read the event.
func ended(event daemonapi.Event) daemonapi.Event {
	event.State = daemonapi.StateDone
	if event.Failure != nil {
		failure := *event.Failure
		event.State, event.Message, event.Failure = daemonapi.StateFailed, failure.Cause, &failure
	}
	return event
}

// Add records an event and fills in its time and how long its phase took.
func (o *Operation) Add(event daemonapi.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	event.Time = time.Now()
	about := subject{event.Node, event.Phase}
	began, known := o.started[about]
	switch {
	case event.State == daemonapi.StateRunning && !known:
		o.started[about] = event.Time
	case event.State != daemonapi.StateRunning && known:
		event.Seconds = event.Time.Sub(began).Seconds()
	}
	o.events = append(o.events, event)
	if event.Done {
		close(o.done) // before anyone can read the event and start the next operation
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

// Listen calls handle with every event from the first to the last. It returns
// early when ctx ends or handle returns an error.
func (o *Operation) Listen(ctx context.Context, handle func(daemonapi.Event) error) error {
	for next := 0; ; {
		o.mu.Lock()
		events, changed := o.events[next:], o.changed
		o.mu.Unlock()
		for _, event := range events {
			if err := handle(event); err != nil || event.Done {
				return err
			}
		}
		next += len(events)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Timings is the content of a cluster's timings file: how long the last apply
// that changed something took, in seconds.
type Timings struct {
	Time time.Time `json:"time"`
	// Phases by name. A phase that nodes go through counts as long as the
	// slowest node took.
	Phases map[string]float64 `json:"phases"`
	// Nodes by name and phase.
	Nodes map[string]map[string]float64 `json:"nodes"`
	// Timelines of the nodes that were booted, by name.
	Timelines map[string][]Moment `json:"timelines,omitempty"`
}

// Timings returns how long the finished phases took. PhaseCluster, the whole
// operation, is counted until now.
func (o *Operation) Timings(now time.Time) Timings {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := Timings{Time: now.UTC(), Phases: map[string]float64{}, Nodes: map[string]map[string]float64{}}
	if began, ok := o.started[subject{phase: daemonapi.PhaseCluster}]; ok {
		t.Phases[string(daemonapi.PhaseCluster)] = now.Sub(began).Seconds()
	}
	for _, event := range o.events {
		if event.State != daemonapi.StateDone || event.Seconds == 0 {
			continue
		}
		phase := string(event.Phase)
		t.Phases[phase] = max(t.Phases[phase], event.Seconds)
		if event.Node == "" {
			continue
		}
		if t.Nodes[event.Node] == nil {
			t.Nodes[event.Node] = map[string]float64{}
		}
		t.Nodes[event.Node][phase] = event.Seconds
	}
	return t
}
