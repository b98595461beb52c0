package client_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// newRepairRig starts a cluster whose nodes are repaired almost at once.
func newRepairRig(t *testing.T, repair string) *rig {
	t.Helper()
	w := newEnvironment()
	w.repair = 300 * time.Millisecond
	spec := small("demo")
	spec.Repair = repair
	r := startRig(t, w, shortHome(t), spec, imageDir(t))
	up(t, r.client, r.spec)
	return r
}

// hang makes the node API of a machine stop answering until the machine is started again.
func (w *environment) hang(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := netip.AddrPortFrom(netip.MustParseAddr(address), nodeconfig.PortNodeAPI).String()
	_ = w.servers[at].Close()
	delete(w.ports, at)
}

const addressOfWorker1 = "192.168.104.21"

// repaired waits until the daemon has ended a number of repairs.
func (r *rig) repaired(t *testing.T, count int) []daemonapi.Repair {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		status, err := r.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ended := slices.DeleteFunc(status.Repairs, func(one daemonapi.Repair) bool { return one.Ended.IsZero() })
		if len(ended) >= count {
			return ended
		}
		if time.Now().After(deadline) {
			t.Fatalf("there were only %d repairs: %+v", len(ended), status.Repairs)
		}
	}
}

// receive waits for a signal.
func receive(t *testing.T, signal <-chan struct{}) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(time.Minute):
		t.Fatal("it did not happen")
	}
}

// seenHealthy waits until the daemon has looked at healthy nodes. Nobody else asks API
// servers whether they are ready meanwhile.
func (r *rig) seenHealthy(t *testing.T) {
	t.Helper()
	asks := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.asks
	}
	before := asks()
	for deadline := time.Now().Add(time.Minute); asks() < before+3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the daemon does not look at the nodes")
		}
	}
}

func TestHungNodeIsRestartedThenReplaced(t *testing.T) {
	r := newRepairRig(t, "auto")
	r.seenHealthy(t)
	r.driver.SetDisk("worker-1", "data")
	r.hang(addressOfWorker1)
	first := r.repaired(t, 1)[0]
	if first.Node != "worker-1" || first.Action != "restart" || first.Failure != "" || !strings.HasPrefix(first.Reason, "it has not answered this host for ") {
		t.Errorf("first repair: %+v", first)
	}
	r.wantMachines(t, "running", "running", "running", "running")
	if r.driver.Disk("worker-1") != "data" {
		t.Error("the restart lost the disk")
	}
	r.seenHealthy(t)
	r.hang(addressOfWorker1)
	second := r.repaired(t, 2)[1]
	if second.Action != "replace" || second.Failure != "" || r.driver.Disk("worker-1") != "" {
		t.Errorf("second repair: %+v, disk %q", second, r.driver.Disk("worker-1"))
	}
	r.wantMachines(t, "running", "running", "running", "running")
	r.mu.Lock()
	defer r.mu.Unlock()
	want := []string{"Node worker-1 SkiffRepair", "Node worker-1 SkiffRepaired", "Node worker-1 SkiffRepair", "Node worker-1 SkiffRepaired"}
	if !slices.Equal(r.reported, want) {
		t.Errorf("events %q", r.reported)
	}
	if !slices.Contains(r.deleted, "worker-1") {
		t.Errorf("the node of the replaced machine is not deleted: %v", r.deleted)
	}
}

func TestNodeWithLocalVolumesIsNotReplaced(t *testing.T) {
	r := newRepairRig(t, "auto")
	r.mu.Lock()
	r.claims["worker-1"] = "data"
	r.mu.Unlock()
	r.seenHealthy(t)
	for i := range 2 {
		r.seenHealthy(t)
		r.driver.SetDisk("worker-1", "data")
		r.hang(addressOfWorker1)
		r.repaired(t, i+1)
	}
	second := r.repaired(t, 2)[1]
	if second.Action != "restart" || !strings.Contains(second.Reason, "the data of its local volumes would be lost: default/data") || r.driver.Disk("worker-1") != "data" {
		t.Errorf("%+v", second)
	}
}

// mustRepairs returns how many repairs the status shows.
func (r *rig) mustRepairs(t *testing.T) int {
	t.Helper()
	status, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(status.Repairs)
}

func TestMachineThatStoppedByItselfIsStarted(t *testing.T) {
	r := newRepairRig(t, "auto")
	r.seenHealthy(t)
	r.driver.End("worker-2", "signal: killed")
	if one := r.repaired(t, 1)[0]; one.Node != "worker-2" || one.Action != "start" || one.Failure != "" {
		t.Errorf("%+v", one)
	}
	r.wantMachines(t, "running", "running", "running", "running")
}

func TestNodesAreLeftAloneIfTheUserWantsThat(t *testing.T) {
	for what, prepare := range map[string]func(*testing.T) *rig{
		"repair is off": func(t *testing.T) *rig {
			r := newRepairRig(t, "off")
			r.driver.End("worker-1", "signal: killed")
			return r
		},
		"a fault": func(t *testing.T) *rig {
			r := newRepairRig(t, "auto")
			r.seenHealthy(t)
			r.begin(t, daemonapi.FaultKill, "worker-1", daemonapi.FaultParameters{})
			return r
		},
		"a fault of the control plane": func(t *testing.T) *rig {
			r := newRepairRig(t, "auto")
			r.seenHealthy(t)
			r.begin(t, daemonapi.FaultLoss, "control-plane-1", daemonapi.FaultParameters{LossPercent: 50})
			r.hang(addressOfWorker1)
			return r
		},
		"a pause": func(t *testing.T) *rig {
			r := newRepairRig(t, "auto")
			r.seenHealthy(t)
			r.driver.End("worker-1", "signal: killed")
			completed(t, r.client.Pause)
			return r
		},
	} {
		r := prepare(t)
		time.Sleep(1500 * time.Millisecond)
		if count := r.mustRepairs(t); count > 0 {
			t.Errorf("%s: %d repairs", what, count)
		}
	}
}

// TestUserGoesBeforeARepair stops a repair at each of its steps by an up, which brings the
// cluster in order by itself.
func TestUserGoesBeforeARepair(t *testing.T) {
	r := newRepairRig(t, "auto")
	r.seenHealthy(t)
	stuck, goOn := make(chan struct{}), make(chan struct{})
	r.driver.Fail = func(call, name string) error {
		if call == "start" && name == "worker-1" {
			select {
			case stuck <- struct{}{}:
				<-goOn
				return errors.New("too late")
			default:
			}
		}
		return nil
	}
	r.hang(addressOfWorker1)
	receive(t, stuck)
	done := make(chan error)
	go func() { done <- r.client.Apply(t.Context(), r.spec, ignore) }()
	time.Sleep(100 * time.Millisecond)
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.wantMachines(t, "running", "running", "running", "running")
	if one := r.repaired(t, 1)[0]; !strings.Contains(one.Failure, "too late") && !strings.Contains(one.Failure, "cancel") {
		t.Errorf("%+v", one)
	}
}

// TestRepairInterruptedAtAnyStepEndsInAWholeCluster ends the daemon within the calls of a
// repair's driver, and starts another.
func TestRepairInterruptedAtAnyStepEndsInAWholeCluster(t *testing.T) {
	for _, at := range []struct {
		call    string
		repairs int // before the one that is interrupted
	}{{"start", 0}, {"create", 1}, {"start", 1}} {
		w, h, images := newEnvironment(), shortHome(t), imageDir(t)
		w.repair = 300 * time.Millisecond
		r := startRig(t, w, h, small("demo"), images)
		up(t, r.client, r.spec)
		for range at.repairs {
			r.seenHealthy(t)
			r.hang(addressOfWorker1)
			r.repaired(t, at.repairs)
		}
		r.seenHealthy(t)
		stuck, goOn := make(chan struct{}), make(chan struct{})
		w.driver.Fail = func(call, name string) error {
			if call == at.call && name == "worker-1" {
				select {
				case stuck <- struct{}{}:
					<-goOn
					return errors.New("killed")
				default:
				}
			}
			return nil
		}
		r.hang(addressOfWorker1)
		receive(t, stuck)
		r.stop()
		time.Sleep(50 * time.Millisecond)
		close(goOn)
		if err := <-r.ended; err != nil {
			t.Fatal(err)
		}
		r.ended <- nil
		w.driver.Fail = nil
		again := startRig(t, w, h, small("demo"), images)
		up(t, again.client, again.spec)
		again.wantMachines(t, "running", "running", "running", "running")
		last := again.repaired(t, at.repairs+1)[at.repairs]
		if last.Failure == "" {
			t.Errorf("%+v: the interrupted repair has no failure: %+v", at, last)
		}
	}
}
