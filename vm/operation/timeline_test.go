package operation

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestTheTimelineOfANode(t *testing.T) {
	for name, tt := range map[string]struct {
		uptime float64
		want   []string
	}{
		"a VM": {8, []string{
			"kernel started 2.0", "init: mounts 2.5", "init: disk 3.0", "containerd started 3.5", "nodeagent started 4.0",
			"node answers 5.0", "control plane ready 7.0", "kubelet registered 8.0", "Ready 9.0",
		}},
		"a sandbox": {90000, []string{
			"init: mounts 0.5", "init: disk 1.0", "containerd started 3.5", "nodeagent started 4.0",
			"node answers 5.0", "control plane ready 7.0", "kubelet registered 8.0", "Ready 9.0",
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			started := time.Now()
			o := New(KindApply, nil)
			o.Begin("", daemonapi.PhasePrepare, "")
			o.End("", daemonapi.PhasePrepare, nil)
			for _, phase := range []struct {
				phase daemonapi.Phase
				node  string
				takes time.Duration
			}{
				{daemonapi.PhaseBoot, "worker-1", 5 * time.Second}, {daemonapi.PhaseBoot, "worker-2", time.Second},
				{daemonapi.PhaseControlPlane, "", time.Second}, {daemonapi.PhaseJoin, "worker-1", time.Second}, {daemonapi.PhaseReady, "worker-1", time.Second},
			} {
				o.Begin(phase.node, phase.phase, "")
				time.Sleep(phase.takes)
				o.End(phase.node, phase.phase, nil)
			}
			// The node answers after ten seconds, and its clock is an hour ahead.
			sent := time.Now().Add(500 * time.Millisecond)
			time.Sleep(1500 * time.Millisecond)
			ahead := started.Add(time.Hour)
			guest := Guest{Started: started, Sent: sent, Received: time.Now(), Status: nodeapi.Status{
				Time: ahead.Add(10 * time.Second), UptimeSeconds: tt.uptime,
				Boot: []nodeapi.BootStep{{Name: "mounts", EndSeconds: 0.5}, {Name: "disk", EndSeconds: 1}},
				Programs: []nodeapi.Program{
					{Name: "nodeagent", Started: ahead.Add(4 * time.Second)}, {Name: "containerd", Started: ahead.Add(3500 * time.Millisecond)}, {Name: "builder"},
				},
			}}
			var got []string
			for _, m := range o.Timeline("worker-1", guest) {
				got = append(got, fmt.Sprintf("%s %.1f", m.Step, m.Seconds))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s:\n%q, want\n%q", name, got, tt.want)
			}
		})
	}
}
