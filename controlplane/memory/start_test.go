package memory

import (
	"testing"
	"time"
)

func TestOnlyAnIdleProgramIsTrimmed(t *testing.T) {
	at := func(busy time.Duration, liveMiB, heldMiB int64) usage {
		return usage{busy: busy, live: liveMiB * mebibyte, held: heldMiB * mebibyte}
	}
	for _, tt := range []struct {
		name        string
		before, now usage
		want        bool
	}{
		{"idle, holds twice what it needs", at(time.Second, 50, 60), at(2*time.Second, 50, 100), true},
		{"busy", at(time.Second, 50, 60), at(20*time.Second, 50, 100), false},
		{"idle, holds a little more", at(time.Second, 50, 60), at(2*time.Second, 50, 65), false},
		{"idle and small", at(time.Second, 5, 6), at(2*time.Second, 5, 12), false},
	} {
		if got := worthTrimming(tt.before, tt.now, 30*time.Second); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestOwnUsageIsRead(t *testing.T) {
	if u := read(); u.held <= 0 || u.busy <= 0 {
		t.Errorf("%+v", u)
	}
}
