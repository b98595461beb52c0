package daemonapi

import (
	"fmt"
	"strings"
	"time"
)

// ScaledGroup is a group of nodes that the autoscaler changes.
type ScaledGroup struct {
	Group string `json:"group"`
	// Nodes is the desired number of nodes, from Min to Max.
	Nodes int `json:"nodes"`
	Min   int `json:"min"`
	Max   int `json:"max"`
}

// Scaling is a change that the autoscaler made.
type Scaling struct {
	Group string `json:"group,omitempty"`
	// Action is "add" or "remove", or "finish" if it continued an interrupted change.
	Action string   `json:"action"`
	Nodes  []string `json:"nodes"`
	// Reason is why, in one line for users.
	Reason string    `json:"reason"`
	Began  time.Time `json:"began"`
	// Ended is zero while nodes are being added or removed.
	Ended time.Time `json:"ended,omitzero"`
	// Failure is why it failed, one line; empty if it did not.
	Failure string `json:"failure,omitempty"`
}

// Summary describes the change in one line for users at the time now.
func (s Scaling) Summary(now time.Time) string {
	done := map[string]string{"add": "added", "remove": "removed", "finish": "finished with"}[s.Action]
	doing := map[string]string{"add": "adding", "remove": "removing", "finish": "finishing with"}[s.Action]
	ago, nodes := now.Sub(s.Began).Round(time.Second), strings.Join(s.Nodes, ", ")
	switch {
	case s.Ended.IsZero():
		return fmt.Sprintf("%s %s since %s: %s", doing, nodes, ago, s.Reason)
	case s.Failure != "":
		return fmt.Sprintf("%s %s failed %s ago: %s (%s)", doing, nodes, ago, s.Failure, s.Reason)
	default:
		return fmt.Sprintf("%s %s %s ago: %s", done, nodes, ago, s.Reason)
	}
}
