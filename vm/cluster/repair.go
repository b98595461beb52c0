package cluster

import (
	"cmp"
	"fmt"
	"time"
)

// The values of Spec.Repair beside a duration.
const (
	RepairAuto = "auto"
	RepairOff  = "off"
)

// How long a node is unhealthy until it is repaired.
const (
	repairAfter         = 5 * time.Minute  // by default
	repairAfterEmulated = 15 * time.Minute // by default, if machines are emulated
	minRepairAfter      = 30 * time.Second // what users may choose
	maxRepairAfter      = 24 * time.Hour
)

// RepairAfter returns how long a node must be unhealthy until it is repaired; 0 if nodes
// are not repaired. The spec is valid.
func RepairAfter(spec Spec, emulated bool) time.Duration {
	switch text := cmp.Or(spec.Repair, RepairAuto); {
	case text == RepairOff:
		return 0
	case text == RepairAuto && emulated:
		return repairAfterEmulated
	case text == RepairAuto:
		return repairAfter
	default:
		after, _ := time.ParseDuration(text)
		return after
	}
}

func validateRepair(text string) []error {
	if text == "" || text == RepairAuto || text == RepairOff {
		return nil
	}
	after, err := time.ParseDuration(text)
	if err != nil {
		return []error{fmt.Errorf("invalid repair %q: use auto, off, or how long a node must be unhealthy, such as 10m", text)}
	}
	if after < minRepairAfter || after > maxRepairAfter {
		return []error{fmt.Errorf("repair is %s: it must be between %s and %s", text, minRepairAfter, maxRepairAfter)}
	}
	return nil
}

// NodePlan returns the steps of Plan that bring one node to its desired state.
func NodePlan(spec Spec, observed Observed, name string) []Step {
	var p planner
	for _, step := range Plan(spec, observed) {
		switch step.Action {
		case ActionCreate, ActionStart, ActionBoot, ActionJoin, ActionWait, ActionLabel:
			if step.Node == name {
				p.add(step.Action, step.Node, step.Reason, step.After...)
			}
		}
	}
	return p.steps
}
