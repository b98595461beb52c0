package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

// noTimings explains why no timeline can be shown.
const noTimings = "the last `skiff up` did not start any machines, so it has no timing"

// timingRows returns the table of the timelines: each step with its end and how long it
// took, in seconds.
func timingRows(timings operation.Timings) [][]string {
	rows := [][]string{{"NODE", "STEP", "AT", "TOOK"}}
	for _, node := range slices.Sorted(maps.Keys(timings.Timelines)) {
		before := 0.0
		for _, moment := range timings.Timelines[node] {
			rows = append(rows, []string{node, moment.Step, fmt.Sprintf("%.2f s", moment.Seconds), fmt.Sprintf("%.2f s", moment.Seconds-before)})
			before = moment.Seconds
		}
	}
	return rows
}

// showTimings prints the timelines of the last up as a table.
func showTimings(s cli.Streams, timings operation.Timings) error {
	if len(timings.Timelines) == 0 {
		fmt.Fprintln(s.Out, noTimings)
		return nil
	}
	return s.Table(timingRows(timings))
}

// timingLine is the last line of `up -o json --timing`.
func timingLine(s cli.Streams, timings operation.Timings) error {
	return json.NewEncoder(s.Out).Encode(map[string]operation.Timings{"timings": timings})
}

// timings formats durations as " (boot 3.1 s, join 2.0 s)", in the order of the
// phases.
func timings(seconds map[string]float64) string {
	text := ""
	for _, phase := range []daemonapi.Phase{
		daemonapi.PhasePrepare, daemonapi.PhaseBoot, daemonapi.PhaseControlPlane, daemonapi.PhaseJoin, daemonapi.PhaseReady,
	} {
		if took, ok := seconds[string(phase)]; ok {
			text += fmt.Sprintf(", %s %.1f s", phase, took)
		}
	}
	if text == "" {
		return ""
	}
	return " (" + text[2:] + ")"
}
