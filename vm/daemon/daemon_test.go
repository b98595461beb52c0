package daemon

import (
	"testing"
	"time"
)

func TestSleptReportsClocksThatDisagree(t *testing.T) {
	for _, test := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{5 * time.Second, 5 * time.Second, false},
		{6 * time.Second, 5 * time.Second, false},
		{time.Hour, 5 * time.Second, true},
		{-time.Hour, 5 * time.Second, true},
	} {
		if got := slept(test.wall, test.monotonic); got != test.want {
			t.Errorf("slept(%s, %s) = %t", test.wall, test.monotonic, got)
		}
	}
}
