package clusters

import (
	"maps"
	"testing"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/screen"
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
