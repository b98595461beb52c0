package clusters

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestTheCreateFormKeepsItsValuesUntilTheClusterExists(t *testing.T) {
	w := &screen.World{}
	s := New(w)
	open := func() screen.Fill { return s.Act(w, keys.Create)[0].(screen.Fill) }
	first := open()
	values := first.Form.Values()
	values["name"], values["workers"] = "ci", "90"
	if got := first.Then(values)[0].(screen.Run).Operation.(machine.Create); got.Cluster != "ci" || got.Driver != "" {
		t.Errorf("created %+v", got)
	}
	if got := open().Form.Values(); !maps.Equal(got, values) {
		t.Errorf("after a refusal: %v", got)
	}
	s.Take(w, feed.Clusters{All: []daemonapi.ClusterStatus{{Name: "ci"}}})
	if got := open().Form.Values(); got["name"] != "dev" || got["workers"] != "2" {
		t.Errorf("after success: %v", got)
	}
}

func TestDetailsShowWhatTheDaemonDidWithinAnHour(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	w := &screen.World{Theme: theme.Named("none"), Now: now}
	text := strings.Join(details(w, daemonapi.ClusterStatus{
		Name: "ci", Snapshots: 2, Scaled: []daemonapi.ScaledGroup{{Group: "worker", Nodes: 2, Min: 1, Max: 5}},
		Repairs: []daemonapi.Repair{
			{Node: "worker-1", Action: "replace", Reason: "old", Began: ago(2 * time.Hour), Ended: ago(time.Hour)},
			{Node: "worker-1", Action: "restart", Reason: "not Ready", Began: ago(time.Minute), Ended: now},
		},
		Scalings: []daemonapi.Scaling{{Action: "add", Nodes: []string{"worker-2"}, Reason: "a pod does not fit", Began: ago(time.Minute), Ended: now}},
		Nodes:    []daemonapi.NodeStatus{{Name: "worker-1", Machine: "running", Kubernetes: "v1.36.3", Outdated: true}},
	}, nil, 120), "\n")
	for _, want := range []string{"restarted worker-1 1m0s ago: not Ready", "worker: 2 nodes, 1 to 5", "added worker-2 1m0s ago", "snapshots", "older node image v1.36.3"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "replaced") {
		t.Errorf("an old repair is shown:\n%s", text)
	}
}

func TestAStoppedClusterShowsThatItsMemoryIsKept(t *testing.T) {
	w := &screen.World{}
	s := New(w)
	s.Take(w, feed.Clusters{All: []daemonapi.ClusterStatus{
		{Name: "ci", Phase: "stopped", Saved: &daemonapi.Saved{Machines: 3}}, {Name: "dev", Phase: "stopped"},
	}})
	for i, want := range []string{"stopped, memory kept", "stopped"} {
		if state := s.Lines[i].Cells[1]; state.Text != want || state.Tone != theme.Dim {
			t.Errorf("state %q in tone %v, want %q", state.Text, state.Tone, want)
		}
	}
}
