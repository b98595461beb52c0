package cluster

import (
	"cmp"
	"fmt"
	"time"
)

// PauseOff is the value of Pause.Idle with which a cluster is never paused by itself.
const PauseOff = "off"

// What users may choose.
const (
	minPauseIdle = 5 * time.Second
	maxPauseIdle = 30 * day
)

// Pause says when the cluster is paused by itself.
type Pause struct {
	// Idle is PauseOff, or how long nobody must have used the cluster, as ParseKeep reads
	// it.
	Idle string `json:"idle,omitempty"`
}

// withDefaults fills in an empty field, which an older state file does not have.
func (p Pause) withDefaults() Pause {
	p.Idle = cmp.Or(p.Idle, PauseOff)
	return p
}

// After returns how long nobody must have used the cluster until it is paused; 0 if it
// never is. The setting is valid.
func (p Pause) After() time.Duration {
	if p.withDefaults().Idle == PauseOff {
		return 0
	}
	after, _ := ParseKeep(p.Idle)
	return after
}

// ValidatePause returns what is wrong with the setting for a driver; pauses returns an
// error if that cannot pause machines, and may be nil.
func ValidatePause(p Pause, driver string, pauses func(driver string) error) []error {
	if p.withDefaults().Idle == PauseOff {
		return nil
	}
	after, err := ParseKeep(p.Idle)
	if err != nil {
		return []error{fmt.Errorf("invalid pause.idle %q: use off, or how long nobody must have used the cluster, such as 15m", p.Idle)}
	}
	if after < minPauseIdle || after > maxPauseIdle {
		return []error{fmt.Errorf("pause.idle is %s: it must be off, or between %s and %dd", p.Idle, minPauseIdle, maxPauseIdle/day)}
	}
	if pauses == nil {
		return nil
	}
	if err := pauses(driver); err != nil {
		return []error{fmt.Errorf("pause.idle is %s: %w", p.Idle, err)}
	}
	return nil
}
