// Package dashboard_test opens the dashboard in a real browser, in front of a real API
// server without nodes.
package dashboard_test

import (
	"errors"
	"testing"

	"github.com/skiff-dev/skiff/test/dashboard/served"
	"github.com/skiff-dev/skiff/test/dashboard/tab"
	"github.com/skiff-dev/skiff/test/ui/rig"
	"github.com/skiff-dev/skiff/web/server"
)

// cluster is an API server with objects and its dashboard.
type cluster struct {
	*rig.Server
	dashboard *server.Server
}

// newCluster skips the test without the programs that it needs.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	s := rig.Serve(t, "../..")
	dashboard, err := served.Dashboard(s)
	if errors.Is(err, served.ErrNotBuilt) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dashboard.Close)
	return &cluster{s, dashboard}
}

// open logs a user in, the administrator if the name is empty, and returns when the
// first screen is shown.
func (c *cluster) open(t *testing.T, user string) *tab.Tab {
	t.Helper()
	link, err := served.Link(t.Context(), c.dashboard, c.Server, user)
	if err != nil {
		t.Fatal(err)
	}
	b := tab.Open(t, link)
	b.Allow("/log?container=") // the nodes have no logs
	return b
}
