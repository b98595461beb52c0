package format

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/theme"
)

// tones lists the states of objects, clusters and machines by their tone.
var tones = []struct {
	tone   theme.Tone
	states []string
}{
	{theme.Good, []string{"Running", "Ready", "Active", "Bound", "Available", "True", "Established", "running", "ready", "connected"}},
	{theme.Dim, []string{"Completed", "Succeeded", "Complete", "Normal", "stopped", "saved", "absent", "Released"}},
	{theme.Busy, []string{"Pending", "ContainerCreating", "PodInitializing", "Terminating", "starting", "booting", "Progressing", "paused"}},
	{theme.Warn, []string{"Warning", "Unknown", "unknown", "SchedulingDisabled", "Suspended", "degraded", "not registered"}},
	{theme.Bad, []string{
		"Failed", "Error", "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "OOMKilled", "Evicted", "NotReady", "False",
		"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
		"NodeLost", "Lost", "damaged", "ContainerStatusUnknown", "DeadlineExceeded", "BackoffLimitExceeded", "StartError",
	}},
}

// StateTone returns the tone of a state. Of several states, e.g.
// "Ready,SchedulingDisabled", the last known one counts.
func StateTone(state string) theme.Tone {
	first, rest, _ := strings.Cut(state, ",")
	if rest != "" {
		if t := StateTone(rest); t != theme.Plain {
			return t
		}
	}
	if step, ok := strings.CutPrefix(first, "Init:"); ok {
		if StateTone(step) == theme.Bad {
			return theme.Bad
		}
		return theme.Busy
	}
	for _, t := range tones {
		if slices.Contains(t.states, first) {
			return t.tone
		}
	}
	return theme.Plain
}

// CellTone returns the tone of a cell in a table of objects.
func CellTone(resource object.Resource, column, cell string) theme.Tone {
	switch column {
	case "Name":
		return theme.Accent
	case "Status", "Phase", "Type", "State", "Conditions":
		return StateTone(cell)
	case "Reason":
		if resource.Name == object.Events.Name {
			return theme.Plain
		}
		return StateTone(cell)
	case "Ready", "Completions", "Available":
		return RatioTone(cell)
	case "Restarts":
		if cell != "0" && cell != "" {
			return theme.Warn
		}
		return theme.Dim
	case "Age", "Last Seen", "Cluster", "Namespace":
		return theme.Dim
	}
	if cell == "<none>" || cell == "<unset>" || cell == "<unknown>" || cell == "-" {
		return theme.Dim
	}
	return theme.Plain
}

// RatioTone returns the tone of a ratio such as "1/2".
func RatioTone(cell string) theme.Tone {
	ready, desired, ok := strings.Cut(cell, "/")
	switch {
	case !ok:
		return theme.Plain
	case ready == desired && desired == "0":
		return theme.Dim
	case ready == desired:
		return theme.Good
	}
	return theme.Warn
}

// Health returns the worst tone among the cells of an object.
func Health(t object.Table, r *object.Row) theme.Tone {
	worst := theme.Good
	if Lacking(t, r) {
		worst = theme.Warn
	}
	for i, c := range t.Columns {
		if i >= len(r.Cells) || c.Name == "Restarts" {
			continue
		}
		switch got := CellTone(t.Resource, c.Name, r.Cells[i]); {
		case got == theme.Bad:
			return theme.Bad
		case got == theme.Warn, got == theme.Busy && worst != theme.Warn:
			worst = got
		}
	}
	return worst
}

// Lacking reports whether fewer pods are ready than desired, for resources with
// a column for each number.
func Lacking(t object.Table, r *object.Row) bool {
	desired, ready := t.Cell(r, "Desired"), t.Cell(r, "Ready")
	return desired != "" && ready != "" && desired != ready
}
