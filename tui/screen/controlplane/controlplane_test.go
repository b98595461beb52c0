package controlplane

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/theme"
)

// A single control plane has a lease of ten minutes, which it renews rarely.
func TestALeaseIsOnlyHighlightedOnceItHasExpired(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	w := &screen.World{Now: now, Theme: theme.Named("harbor")}
	s := New("dev")
	s.state.Leases = []feed.Lease{
		{Name: "valid", Renewed: now.Add(-5 * time.Minute), Duration: 10 * time.Minute},
		{Name: "stale", Renewed: now.Add(-5 * time.Second), Duration: 4 * time.Second},
	}
	lines := s.leases(w, 80)
	for i, want := range []string{"renewed 5m ago", "expired, renewed 5s ago"} {
		if line := lines[1+i]; !strings.HasSuffix(ansi.Strip(line), " "+want) || strings.Contains(line, w.Theme.On(theme.Warn)) != (i == 1) {
			t.Errorf("%q", line)
		}
	}
}
