package repair

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/machine"
)

const after = 5 * time.Minute

func plane(name string) Node {
	return Node{Name: name, ControlPlane: true, Machine: machine.StateRunning, Answers: true, Known: true, Ready: true, VolumesKnown: true}
}

func worker(name string) Node {
	n := plane(name)
	n.ControlPlane = false
	return n
}

// with returns the nodes with changes to some of them.
func with(all []Node, change func(*Node), names ...string) []Node {
	all = slices.Clone(all)
	for i := range all {
		if slices.Contains(names, all[i].Name) {
			change(&all[i])
		}
	}
	return all
}

func hung(n *Node)     { n.Answers, n.Ready, n.Problem = false, false, "the node API does not answer" }
func notReady(n *Node) { n.Ready, n.Problem = false, "not Ready" }
func stopped(n *Node) {
	n.Machine, n.Answers, n.Ready, n.Problem = machine.StateStopped, false, false, "the machine stopped"
}
func unknown(n *Node) { n.Ready, n.Known, n.Problem = false, false, "" }

var (
	small = []Node{plane("c1"), worker("w1"), worker("w2")}
	large = []Node{plane("c1"), plane("c2"), plane("c3"), worker("w1")}
	alone = []Node{plane("c1")}
)

// watch lets a decider observe the same nodes for a time, after it has seen them healthy,
// and returns what it did: "12m restart w1".
func watch(d *Decider, nodes []Node, length time.Duration) []string {
	const period = 15 * time.Second
	healthy := slices.Clone(nodes)
	for i := range healthy {
		healthy[i].Machine, healthy[i].Answers, healthy[i].Known, healthy[i].Ready = machine.StateRunning, true, true, true
	}
	d.Next(Observation{Nodes: healthy, Elapsed: period}, after)
	var done []string
	for at := period; at <= length; at += period {
		if action, ok := d.Next(Observation{Nodes: nodes, Elapsed: period}, after); ok {
			done = append(done, strings.TrimSuffix(at.String(), "0s")+" "+string(action.Kind)+" "+action.Node)
		}
	}
	return done
}

func TestUnhealthyNodesAreRestartedThenReplaced(t *testing.T) {
	lossy := func(n *Node) { hung(n); n.Volumes = []string{"default/data"} }
	unsure := func(n *Node) { hung(n); n.VolumesKnown = false }
	held := func(n *Node) { hung(n); n.Held = true }
	paused := func(n *Node) { hung(n); n.Machine = machine.StatePaused }
	for what, c := range map[string]struct {
		nodes []Node
		want  []string
	}{
		"healthy":                     {small, nil},
		"a worker hangs":              {with(small, hung, "w1"), []string{"5m restart w1", "15m replace w1", "35m restart w1", "1h15m restart w1"}},
		"a worker is not Ready":       {with(small, notReady, "w1"), []string{"5m restart w1", "15m replace w1", "35m restart w1", "1h15m restart w1"}},
		"a worker stopped":            {with(small, stopped, "w1"), []string{"5m start w1", "15m replace w1", "35m start w1", "1h15m start w1"}},
		"it has local volumes":        {with(small, lossy, "w1"), []string{"5m restart w1", "15m restart w1", "35m restart w1", "1h15m restart w1"}},
		"its volumes are unknown":     {with(small, unsure, "w1"), []string{"5m restart w1", "15m restart w1", "35m restart w1", "1h15m restart w1"}},
		"it has a fault":              {with(small, held, "w1"), nil},
		"it is paused":                {with(small, paused, "w1"), nil},
		"both workers hang":           {with(small, hung, "w1", "w2"), []string{"5m restart w1", "5m15s restart w2", "15m replace w1", "15m15s replace w2", "35m restart w1", "35m15s restart w2", "1h15m restart w1", "1h15m15s restart w2"}},
		"both workers are not Ready":  {with(small, notReady, "w1", "w2"), []string{"5m restart w1", "5m15s restart w2", "15m replace w1", "15m15s replace w2", "35m restart w1", "35m15s restart w2", "1h15m restart w1", "1h15m15s restart w2"}},
		"all are not Ready":           {with(small, notReady, "c1", "w1", "w2"), nil},
		"the API does not answer":     {with(small, unknown, "w1", "w2"), nil},
		"the only control plane":      {with(small, hung, "c1"), []string{"5m restart c1", "15m restart c1", "35m restart c1", "1h15m restart c1"}},
		"the only node":               {with(alone, notReady, "c1"), []string{"5m restart c1", "15m restart c1", "35m restart c1", "1h15m restart c1"}},
		"one of three control planes": {with(large, hung, "c2"), []string{"5m restart c2", "15m replace c2", "35m restart c2", "1h15m restart c2"}},
		"two of three are not Ready":  {with(large, notReady, "c2", "c3"), nil},
		"two of three stopped":        {with(large, stopped, "c2", "c3"), []string{"5m start c2", "5m15s start c3", "15m start c2", "15m15s start c3", "35m start c2", "35m15s start c3", "1h15m start c2", "1h15m15s start c3"}},
		"two hang, without majority":  {with(with(large, hung, "c2", "c3"), notReady, "c1"), []string{"5m restart c2", "5m15s restart c3", "15m restart c2", "15m15s restart c3", "35m restart c2", "35m15s restart c3", "1h15m restart c2", "1h15m15s restart c3"}},
		"a control plane, a worker":   {with(large, hung, "c2", "w1"), []string{"5m restart c2", "5m15s restart w1", "15m replace c2", "15m15s replace w1", "35m restart c2", "35m15s restart w1", "1h15m restart c2", "1h15m15s restart w1"}},
	} {
		if got := watch(&Decider{}, c.nodes, 80*time.Minute); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", what, got, c.want)
		}
	}
}

func TestBackOffEndsAtAnHour(t *testing.T) {
	if got := wait(after, 100); got != time.Hour {
		t.Errorf("%s", got)
	}
	if got := wait(2*time.Hour, 3); got != 2*time.Hour {
		t.Errorf("%s", got)
	}
}

func TestNodesGetTheirTimeAgain(t *testing.T) {
	bad := with(small, hung, "w1")
	for what, between := range map[string]Observation{
		"after a disturbance": {Disturbed: true, Nodes: bad},
		"once healthy":        {Nodes: small},
		"after a fault":       {Nodes: with(bad, func(n *Node) { n.Held = true }, "w1")},
	} {
		var d Decider
		if got := watch(&d, bad, after-time.Second); got != nil {
			t.Errorf("%s: too early: %q", what, got)
		}
		if action, ok := d.Next(between, after); ok {
			t.Errorf("%s: %+v", what, action)
		}
		if action, ok := d.Next(Observation{Elapsed: after - time.Second, Nodes: bad}, after); ok {
			t.Errorf("%s: %+v", what, action)
		}
		if _, ok := d.Next(Observation{Elapsed: time.Second, Nodes: bad}, after); !ok {
			t.Errorf("%s: never repaired", what)
		}
	}
}

func TestTimeInWhichTheHostIsBusyDoesNotCount(t *testing.T) {
	var d Decider
	d.Next(Observation{Nodes: small}, after)
	for range 1000 {
		if action, ok := d.Next(Observation{Nodes: with(small, hung, "w1")}, after); ok {
			t.Fatalf("%+v", action)
		}
	}
}

func TestNodeThatWasNeverHealthyIsLeftAlone(t *testing.T) {
	var d Decider
	for range 100 {
		if action, ok := d.Next(Observation{Elapsed: time.Minute, Nodes: with(small, notReady, "w1")}, after); ok {
			t.Fatalf("%+v", action)
		}
	}
}

func TestEarlierRepairsAreForgotten(t *testing.T) {
	var d Decider
	bad := with(small, hung, "w1")
	want := []string{"5m restart w1", "15m replace w1"}
	if got := watch(&d, bad, 16*time.Minute); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for range 5 {
		d.Next(Observation{Elapsed: 15 * time.Minute, Nodes: small}, after)
	}
	if got := watch(&d, bad, 16*time.Minute); !slices.Equal(got, want) {
		t.Errorf("after an hour: %q", got)
	}
}

func TestReasonTellsTheUserWhatToKnow(t *testing.T) {
	var d Decider
	bad := with(small, func(n *Node) { hung(n); n.Volumes = []string{"default/data", "shop/db"} }, "w1")
	d.Next(Observation{Nodes: small}, after)
	first, _ := d.Next(Observation{Elapsed: after, Nodes: bad}, after)
	second, _ := d.Next(Observation{Elapsed: 2 * after, Nodes: bad}, after)
	if want := "the node API does not answer for 5m0s"; first.Reason != want {
		t.Errorf("%q, want %q", first.Reason, want)
	}
	if want := "the node API does not answer for 15m0s; it is not replaced, because the data of its local volumes would be lost: default/data, shop/db"; second.Reason != want {
		t.Errorf("%q, want %q", second.Reason, want)
	}
}

func TestSleepAndDelaysOfTheHostAreNoticed(t *testing.T) {
	const period = 15 * time.Second
	for what, c := range map[string]struct {
		wall, monotonic, counted time.Duration
		stood                    bool
	}{
		"in time":             {period, period, period, false},
		"a little late":       {20 * time.Second, 20 * time.Second, 20 * time.Second, false},
		"late":                {40 * time.Second, 40 * time.Second, 2 * period, false},
		"very late":           {time.Minute, time.Minute, 0, true},
		"slept":               {time.Hour, period, 0, true},
		"the clock was set":   {-time.Hour, period, 0, true},
		"the clock is behind": {period - time.Second, period, period, false},
	} {
		if counted, stood := Elapsed(c.wall, c.monotonic, period); counted != c.counted || stood != c.stood {
			t.Errorf("%s: %s, %v", what, counted, stood)
		}
	}
}

func TestBusyHostIsOneOnWhichWorkWaits(t *testing.T) {
	ms := func(all ...int) (times []time.Duration) {
		for _, one := range all {
			times = append(times, time.Duration(one)*time.Millisecond)
		}
		return times
	}
	for want, times := range map[bool][]time.Duration{false: ms(1, 1, 2, 1, 5, 1), true: ms(1, 30, 1, 1, 40, 1)} {
		if got := busy(times); got != want {
			t.Errorf("%v: %v", times, got)
		}
	}
	_ = Busy() // does not panic
}
