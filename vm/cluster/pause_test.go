package cluster

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPauseIdleIsOffOrADuration(t *testing.T) {
	cannot := func(driver string) error {
		if driver == "stiff" {
			return errors.New("it cannot pause machines")
		}
		return nil
	}
	for _, tt := range []struct {
		idle, driver string
		after        time.Duration
		fault        string
	}{
		{"", "lima", 0, ""},
		{"off", "lima", 0, ""},
		{"off", "stiff", 0, ""},
		{"15m", "lima", 15 * time.Minute, ""},
		{"2d", "lima", 48 * time.Hour, ""},
		{"5s", "lima", 5 * time.Second, ""},
		{"4s", "lima", 0, "must be off, or between 5s and 30d"},
		{"0", "lima", 0, "must be off, or between 5s and 30d"},
		{"-1m", "lima", 0, "must be off, or between 5s and 30d"},
		{"31d", "lima", 0, "must be off, or between 5s and 30d"},
		{"soon", "lima", 0, `invalid pause.idle "soon": use off, or`},
		{"15m", "stiff", 0, "pause.idle is 15m: it cannot pause machines"},
	} {
		faults := ValidatePause(Pause{tt.idle}, tt.driver, cannot)
		switch {
		case tt.fault == "" && len(faults) > 0:
			t.Errorf("%q with %s: %v", tt.idle, tt.driver, faults)
		case tt.fault == "" && (Pause{tt.idle}).After() != tt.after:
			t.Errorf("%q: after %s, want %s", tt.idle, Pause{tt.idle}.After(), tt.after)
		case tt.fault != "" && (len(faults) != 1 || !strings.Contains(faults[0].Error(), tt.fault)):
			t.Errorf("%q with %s: %v, want %q", tt.idle, tt.driver, faults, tt.fault)
		}
	}
}
