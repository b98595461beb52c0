package cluster

import (
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestPreparedOnceAMachineBoots(t *testing.T) {
	for phase, want := range map[daemonapi.Phase]bool{
		"": false, daemonapi.PhaseCluster: false, daemonapi.PhasePrepare: false,
		daemonapi.PhaseBoot: true, daemonapi.PhaseResume: true, daemonapi.PhaseControlPlane: true,
	} {
		if got := prepared(daemonapi.Event{Phase: phase}); got != want {
			t.Errorf("phase %q: %t", phase, got)
		}
	}
}
