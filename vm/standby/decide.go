// Package standby decides when a cluster that nobody uses is paused, and when it is
// resumed. What uses a cluster that is asleep waits until it is awake.
package standby

import "time"

// Facts are what a decision depends on.
type Facts struct {
	// After is how long nobody must have used the cluster until it falls asleep; 0 if it
	// never does.
	After time.Duration
	// Uses is how many kinds of uses have not ended.
	Uses int
	// Last is when the last use ended.
	Last time.Time
	// Asleep is set from the moment at which the cluster falls asleep until it is awake.
	Asleep bool
}

// Action is what is due.
type Action int

// The actions.
const (
	Nothing Action = iota
	Sleep
	Wake
)

// Decide returns what is due at the time now. If that is nothing, it also returns after
// which time something may be due although no fact changes; 0 if never.
func Decide(f Facts, now time.Time) (Action, time.Duration) {
	switch rest := f.After - now.Sub(f.Last); {
	case f.Asleep && (f.Uses > 0 || f.After == 0):
		return Wake, 0
	case f.Asleep, f.After == 0, f.Uses > 0:
		return Nothing, 0
	case rest > 0:
		return Nothing, rest
	default:
		return Sleep, 0
	}
}
