package operation

import (
	"cmp"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Moment is the end of a step of a node's start.
type Moment struct {
	Step string `json:"step"`
	// Seconds since the machine was started on the host.
	Seconds float64 `json:"seconds"`
}

// Guest is what a node itself reports of its start.
type Guest struct {
	// Started is when the host started the machine.
	Started time.Time
	// Status was answered by the node between Sent and Received.
	Status         nodeapi.Status
	Sent, Received time.Time
}

// ends are the steps of which the host sees the end.
var ends = map[daemonapi.Phase]string{
	daemonapi.PhaseBoot:         "node answers",
	daemonapi.PhaseControlPlane: "control plane ready",
	daemonapi.PhaseJoin:         "kubelet registered",
	daemonapi.PhaseReady:        "Ready",
}

// Timeline returns the moments of a node's start in their order: what the node reports, and
// what the operation noted of the node and of the whole cluster.
func (o *Operation) Timeline(node string, guest Guest) []Moment {
	moments := guest.moments()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, event := range o.events {
		step, ok := ends[event.Phase]
		if !ok || event.State != daemonapi.StateDone || event.Node != node && event.Node != "" {
			continue
		}
		moments = append(moments, Moment{Step: step, Seconds: event.Time.Sub(guest.Started).Seconds()})
	}
	slices.SortStableFunc(moments, func(a, b Moment) int { return cmp.Compare(a.Seconds, b.Seconds) })
	return moments
}

// moments returns those that the node reports. The node's clock may differ from the host's;
// what it says of the past is taken relative to when it answered. If the kernel has run for
// longer than the machine, it is the host's.
func (g Guest) moments() []Moment {
	var moments []Moment
	answered := g.Sent.Add(g.Received.Sub(g.Sent) / 2).Sub(g.Started)
	kernel := answered - seconds(g.Status.UptimeSeconds)
	if kernel >= 0 {
		moments = append(moments, Moment{Step: "kernel started", Seconds: kernel.Seconds()})
	} else {
		kernel = 0
	}
	for _, step := range g.Status.Boot {
		moments = append(moments, Moment{Step: "init: " + step.Name, Seconds: kernel.Seconds() + step.EndSeconds})
	}
	for _, program := range g.Status.Programs {
		if program.Started.IsZero() {
			continue
		}
		at := answered - g.Status.Time.Sub(program.Started)
		moments = append(moments, Moment{Step: program.Name + " started", Seconds: at.Seconds()})
	}
	return moments
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
