package cluster

import (
	"reflect"
	"testing"

	"github.com/skiff-dev/skiff/vm/operation"
)

func TestTimingRowsListTheStepsOfEachNode(t *testing.T) {
	rows := timingRows(operation.Timings{Timelines: map[string][]operation.Moment{
		"worker-1":        {{Step: "kernel started", Seconds: 0.5}, {Step: "node answers", Seconds: 2}},
		"control-plane-1": {{Step: "Ready", Seconds: 3.25}},
	}})
	want := [][]string{
		{"NODE", "STEP", "AT", "TOOK"},
		{"control-plane-1", "Ready", "3.25 s", "3.25 s"},
		{"worker-1", "kernel started", "0.50 s", "0.50 s"},
		{"worker-1", "node answers", "2.00 s", "1.50 s"},
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("%v", rows)
	}
}
