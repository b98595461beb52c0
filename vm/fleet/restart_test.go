package fleet

import (
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

func TestANodeHasRestartedWhenAllItsProgramsHave(t *testing.T) {
	then := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	before := nodeapi.Status{Time: then}
	old := nodeapi.Program{Name: "containerd", PID: 1, Started: then.Add(-time.Hour)}
	fresh := nodeapi.Program{Name: "nodeagent", PID: 2, Started: then.Add(time.Second)}
	over := nodeapi.Program{Name: "images"}
	for _, c := range []struct {
		name     string
		programs []nodeapi.Program
		want     bool
	}{
		{"none", nil, false}, {"old", []nodeapi.Program{old}, false}, {"one is old", []nodeapi.Program{fresh, old}, false},
		{"nothing runs yet", []nodeapi.Program{over}, false}, {"fresh", []nodeapi.Program{fresh, over}, true},
	} {
		if got := restartedSince(before, nodeapi.Status{Programs: c.programs}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
