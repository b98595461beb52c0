package daemonapi

import (
	"fmt"
	"strings"
	"time"
)

const (
	// PathFaults returns the active Faults on GET. POST of a FaultRequest begins a Fault and
	// returns it once it is in force, or 422 if that is not possible; nothing has changed
	// then.
	PathFaults = "/v1/faults"
	// PathFaultsClear ends faults on POST of a FaultsClear, and returns those that ended.
	PathFaultsClear = "/v1/faults/clear"
)

// FaultKind is what a fault does.
type FaultKind string

// The kinds.
const (
	FaultKill      FaultKind = "kill"      // the machine is off
	FaultPause     FaultKind = "pause"     // the machine is frozen
	FaultPartition FaultKind = "partition" // the nodes reach only each other
	FaultLatency   FaultKind = "latency"   // round trips take longer
	FaultLoss      FaultKind = "loss"      // packets are lost
	FaultBandwidth FaultKind = "bandwidth" // the network has a limited rate
	FaultClock     FaultKind = "clock"     // the clock is wrong
	FaultDiskFull  FaultKind = "disk-full" // the node's disk is full
)

// FaultKinds returns all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultKill, FaultPause, FaultPartition, FaultLatency, FaultLoss, FaultBandwidth, FaultClock, FaultDiskFull}
}

// FaultRequest asks for a fault.
type FaultRequest struct {
	Kind FaultKind `json:"kind"`
	// Nodes are names of nodes, Zones names of zones, all of whose nodes are meant. Either
	// may be empty.
	Nodes []string `json:"nodes,omitempty"`
	Zones []string `json:"zones,omitempty"`
	// Seconds is how long the fault lasts.
	Seconds float64 `json:"seconds"`
	FaultParameters
}

// FaultParameters are what some kinds need. Those of other kinds are zero.
type FaultParameters struct {
	// DelayMilliseconds is how much longer a round trip takes (FaultLatency).
	DelayMilliseconds float64 `json:"delayMilliseconds,omitempty"`
	// LossPercent of the packets are lost, in each direction (FaultLoss).
	LossPercent float64 `json:"lossPercent,omitempty"`
	// BitsPerSecond is the rate in each direction (FaultBandwidth).
	BitsPerSecond int64 `json:"bitsPerSecond,omitempty"`
	// OffsetSeconds is how far the clock is ahead, negative if it is behind (FaultClock).
	OffsetSeconds float64 `json:"offsetSeconds,omitempty"`
}

// Fault is a fault that is active.
type Fault struct {
	// ID is unique among the active faults: "kill-1".
	ID    string    `json:"id"`
	Kind  FaultKind `json:"kind"`
	Nodes []string  `json:"nodes"`
	// Zones were named in the request.
	Zones []string  `json:"zones,omitempty"`
	Began time.Time `json:"began"`
	Until time.Time `json:"until"`
	FaultParameters
	// Warning is what else the fault causes, one line for users; may be empty.
	Warning string `json:"warning,omitempty"`
	// Problem is why the fault has not ended, although it should have; may be empty.
	Problem string `json:"problem,omitempty"`
}

// FaultsClear asks for the end of faults.
type FaultsClear struct {
	// IDs of the faults; all if there are none.
	IDs []string `json:"ids,omitempty"`
}

// Effect describes what the fault does to its nodes, in a few words.
func (f Fault) Effect() string {
	switch f.Kind {
	case FaultKill:
		return "killed"
	case FaultPause:
		return "paused"
	case FaultPartition:
		return "cut off"
	case FaultLatency:
		return "latency " + time.Duration(f.DelayMilliseconds*float64(time.Millisecond)).String()
	case FaultLoss:
		return fmt.Sprintf("loss %g%%", f.LossPercent)
	case FaultBandwidth:
		return "bandwidth " + Rate(f.BitsPerSecond)
	case FaultClock:
		if f.OffsetSeconds > 0 {
			return "clock +" + seconds(f.OffsetSeconds)
		}
		return "clock " + seconds(f.OffsetSeconds)
	case FaultDiskFull:
		return "disk full"
	}
	return string(f.Kind)
}

// Summary describes the fault in one line for users at the time now.
func (f Fault) Summary(now time.Time) string {
	left := f.Until.Sub(now).Round(time.Second)
	if f.Problem != "" {
		return fmt.Sprintf("%s: %s (%s), cannot be ended: %s", f.ID, strings.Join(f.Nodes, ", "), f.Effect(), f.Problem)
	}
	return fmt.Sprintf("%s: %s (%s), %s left", f.ID, strings.Join(f.Nodes, ", "), f.Effect(), max(left, 0))
}

func seconds(value float64) string {
	return time.Duration(value * float64(time.Second)).Round(time.Millisecond).String()
}

// Rate formats a rate in the largest unit that does not need a fraction: "10mbit".
func Rate(bitsPerSecond int64) string {
	for _, unit := range []struct {
		name string
		bits int64
	}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}} {
		if bitsPerSecond >= unit.bits && bitsPerSecond%unit.bits == 0 {
			return fmt.Sprintf("%d%s", bitsPerSecond/unit.bits, unit.name)
		}
	}
	return fmt.Sprintf("%dbit", bitsPerSecond)
}
