package daemonapi

import (
	"fmt"
	"time"
)

// Repair is a repair that the daemon made because a node was unhealthy for a long time.
type Repair struct {
	Node string `json:"node"`
	// Action is "start", "restart" or "replace".
	Action string `json:"action"`
	// Reason is why, in one line for users.
	Reason string    `json:"reason"`
	Began  time.Time `json:"began"`
	// Ended is zero while the repair is running.
	Ended time.Time `json:"ended,omitzero"`
	// Failure is why it failed, one line; empty if it did not.
	Failure string `json:"failure,omitempty"`
}

// Summary describes the repair in one line for users at the time now.
func (r Repair) Summary(now time.Time) string {
	done := map[string]string{"start": "started", "restart": "restarted", "replace": "replaced"}[r.Action]
	doing := map[string]string{"start": "starting", "restart": "restarting", "replace": "replacing"}[r.Action]
	ago := now.Sub(r.Began).Round(time.Second)
	switch {
	case r.Ended.IsZero():
		return fmt.Sprintf("%s %s since %s: %s", doing, r.Node, ago, r.Reason)
	case r.Failure != "":
		return fmt.Sprintf("%s %s failed %s ago: %s (%s)", doing, r.Node, ago, r.Failure, r.Reason)
	default:
		return fmt.Sprintf("%s %s %s ago: %s", done, r.Node, ago, r.Reason)
	}
}
