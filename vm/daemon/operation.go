package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// operation is one piece of work or a down: the events that it has said so far,
// for everyone who listens from the beginning, whenever they come.
type operation struct {
	work   work // empty for a down
	cancel context.CancelCauseFunc
	done   chan struct{} // closed with the last event

	mu      sync.Mutex // guards events, started and changed
	events  []daemonapi.Event
	started map[key]time.Time
	changed chan struct{} // closed and replaced at every event
}

// key names what an event is about.
type key struct {
	node  string
	phase daemonapi.Phase
}

func newOperation(work work, cancel context.CancelCauseFunc) *operation {
	return &operation{
		work: work, cancel: cancel, done: make(chan struct{}),
		started: map[key]time.Time{}, changed: make(chan struct{}),
	}
}

// begin says that a phase begins, with what it does.
func (o *operation) begin(node string, phase daemonapi.Phase, message string) {
	o.add(daemonapi.Event{Node: node, Phase: phase, State: daemonapi.StateRunning, Message: message})
}

// end says that a phase is over, well if err is nil.
func (o *operation) end(node string, phase daemonapi.Phase, failure *daemonapi.Failure) {
	event := daemonapi.Event{Node: node, Phase: phase, State: daemonapi.StateDone, Failure: failure}
	if failure != nil {
		event.State, event.Message = daemonapi.StateFailed, failure.Cause
	}
	o.add(event)
}

// finish says the last event.
func (o *operation) finish(phase daemonapi.Phase, message string, failure *daemonapi.Failure) {
	event := daemonapi.Event{Phase: phase, State: daemonapi.StateDone, Message: message, Failure: failure, Done: true}
	if failure != nil {
		event.State, event.Message = daemonapi.StateFailed, failure.Cause
	}
	o.add(event)
}

func (o *operation) add(event daemonapi.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	event.Time = time.Now()
	about := key{event.Node, event.Phase}
	began, known := o.started[about]
	switch {
	case event.State == daemonapi.StateRunning && !known:
		o.started[about] = event.Time
	case event.State != daemonapi.StateRunning && known:
		event.Seconds = event.Time.Sub(began).Seconds()
	}
	o.events = append(o.events, event)
	if event.Done {
		close(o.done) // before anyone has read the event, who may ask for the next apply at once
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

// listen calls say with every event from the first to the last, or until ctx
// ends or say fails.
func (o *operation) listen(ctx context.Context, say func(daemonapi.Event) error) error {
	for next := 0; ; {
		o.mu.Lock()
		events, changed := o.events[next:], o.changed
		o.mu.Unlock()
		for _, event := range events {
			if err := say(event); err != nil || event.Done {
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

// timings are the seconds that finished phases took: by phase the slowest
// node's, and by node and phase. The whole, PhaseCluster, counts until now.
func (o *operation) timings(now time.Time) Timings {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := Timings{Time: now.UTC(), Phases: map[string]float64{}, Nodes: map[string]map[string]float64{}}
	if began, ok := o.started[key{phase: daemonapi.PhaseCluster}]; ok {
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

// Timings is the content of a cluster's timings file: what the last apply that
// did something took, in seconds.
type Timings struct {
	Time time.Time `json:"time"`
	// Phases by name; where nodes have it, the slowest node's.
	Phases map[string]float64 `json:"phases"`
	// Nodes by name and phase.
	Nodes map[string]map[string]float64 `json:"nodes"`
}
