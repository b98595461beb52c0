package autoscale

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

const idle = 10 * time.Minute

// look observes a group "worker" of the nodes w1, w2 and so on.
func look(count int, room controlapi.Room) Observation {
	o := Observation{Elapsed: time.Minute, Groups: []Group{{Name: "worker", Min: 1, Max: 5, Count: count}}, Members: map[string]string{}, Room: room}
	for i := range count {
		o.Members[fmt.Sprintf("w%d", i+1)] = "worker"
	}
	return o
}

func needs(nodes int, pods ...string) controlapi.Room {
	need := controlapi.Need{Group: "worker", Nodes: nodes}
	for _, name := range pods {
		need.Pods = append(need.Pods, controlapi.PodReference{Namespace: "default", Name: name})
	}
	return controlapi.Room{Needs: []controlapi.Need{need}}
}

// spare returns nodes without which the cluster could do: "w1" has no pods to move, "w1+"
// has, and "w1!" is needed.
func spare(nodes ...string) controlapi.Room {
	var room controlapi.Room
	for _, name := range nodes {
		s := controlapi.Spare{Node: strings.TrimRight(name, "+!")}
		if strings.HasSuffix(name, "+") {
			s.Pods = 1
		}
		if strings.HasSuffix(name, "!") {
			s.Needed = "it is used"
		}
		room.Spare = append(room.Spare, s)
	}
	return room
}

func (a Action) text() string {
	return strings.TrimSpace(fmt.Sprint(a.Kind, " ", max(a.Count, len(a.Nodes)), " ", strings.Join(a.Nodes, " ")))
}

// watch returns what a decider does within minutes in which it always sees the same.
func watch(d *Decider, o Observation, minutes int) []string {
	var done []string
	for i := range minutes {
		if action, ok := d.Next(o, idle); ok {
			done = append(done, fmt.Sprintf("%dm %s", i, action.text()))
		}
	}
	return done
}

func TestGroupsGrowWithinTheirBounds(t *testing.T) {
	for what, c := range map[string]struct {
		o    Observation
		want string
	}{
		"nothing waits":       {look(1, controlapi.Room{}), ""},
		"one node":            {look(1, needs(1, "a")), "add 1"},
		"several at once":     {look(1, needs(3, "a", "b")), "add 3"},
		"as many as it may":   {look(4, needs(3, "a", "b")), "add 1"},
		"it has its maximum":  {look(5, needs(1, "a")), ""},
		"more than its max":   {look(6, needs(1, "a")), ""},
		"an unknown group":    {look(1, controlapi.Room{Needs: []controlapi.Need{{Group: "gpu", Nodes: 1}}}), ""},
		"no nodes are needed": {look(1, needs(0, "a")), ""},
	} {
		var d Decider
		got := ""
		if action, ok := d.Next(c.o, idle); ok {
			got = action.text()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

func TestNodesThatAreNotNeededGo(t *testing.T) {
	for what, c := range map[string]struct {
		o    Observation
		want string
	}{
		"all are needed":          {look(3, spare("w1!", "w2!", "w3!")), "[]"},
		"one is spare":            {look(3, spare("w1!", "w2", "w3!")), "[10m remove 1 w2 11m remove 1 w2]"},
		"two are empty":           {look(3, spare("w1!", "w2", "w3")), "[10m remove 2 w3 w2 11m remove 2 w3 w2]"},
		"two have pods":           {look(3, spare("w1!", "w2+", "w3+")), "[10m remove 1 w3 11m remove 1 w3]"},
		"empty ones go first":     {look(3, spare("w1!", "w2", "w3+")), "[10m remove 1 w2 11m remove 1 w2]"},
		"never below the minimum": {look(2, spare("w1", "w2")), "[10m remove 1 w2 11m remove 1 w2]"},
		"it has its minimum":      {look(1, spare("w1")), "[]"},
		"a node of no group":      {look(2, spare("x1")), "[]"},
		"pods need nodes instead": {look(5, controlapi.Room{Needs: needs(1, "a").Needs, Spare: nil}), "[]"},
	} {
		if got := fmt.Sprint(watch(&Decider{}, c.o, 12)); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}

func TestANodeThatWasNeededMeanwhileGetsItsTimeAgain(t *testing.T) {
	var d Decider
	if done := watch(&d, look(2, spare("w2")), 10); done != nil {
		t.Errorf("too early: %v", done)
	}
	d.Next(look(2, spare("w2!")), idle)
	if got := fmt.Sprint(watch(&d, look(2, spare("w2")), 11)); got != "[10m remove 1 w2]" {
		t.Error(got)
	}
}

func TestTimeInWhichTheHostSleptDoesNotCount(t *testing.T) {
	var d Decider
	o := look(2, spare("w2"))
	o.Elapsed = 0
	if done := watch(&d, o, 100); done != nil {
		t.Error(done)
	}
}

func TestWhatFailedIsTriedAgainLater(t *testing.T) {
	var d Decider
	failing := look(1, needs(1, "a"))
	var at []int
	for i := range 60 {
		if action, ok := d.Next(failing, idle); ok {
			at = append(at, i)
			d.Done(action, true)
		}
	}
	if fmt.Sprint(at) != "[0 5 15 35]" {
		t.Errorf("a group that cannot grow: %v", at)
	}
	action, _ := (&Decider{}).Next(failing, idle)
	d.Done(action, false)
	if d.fails["worker"] != 0 {
		t.Error("a success does not count")
	}
	d = Decider{}
	stuck := look(2, spare("w2"))
	at = nil
	for i := range 20 {
		if action, ok := d.Next(stuck, idle); ok {
			at = append(at, i)
			d.Done(action, true)
		}
	}
	if fmt.Sprint(at) != "[10 15]" {
		t.Errorf("a node that cannot be removed: %v", at)
	}
}

func TestAnInterruptedChangeIsFinishedFirst(t *testing.T) {
	var d Decider
	o := look(1, needs(1, "a"))
	o.Unfinished = true
	if action, ok := d.Next(o, idle); !ok || action.Kind != Finish {
		t.Errorf("%+v", action)
	}
	d.Done(Action{Kind: Finish}, true)
	if action, ok := d.Next(o, idle); ok {
		t.Errorf("it failed, and is tried again at once: %+v", action)
	}
}

func TestReasonNamesThePods(t *testing.T) {
	var d Decider
	one, _ := d.Next(look(1, needs(1, "a")), idle)
	three, _ := d.Next(look(1, needs(1, "a", "b", "c")), idle)
	if one.Reason != "pod default/a does not fit" || three.Reason != "pod default/a and 2 more do not fit" {
		t.Errorf("%q, %q", one.Reason, three.Reason)
	}
}
