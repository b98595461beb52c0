package screen

import (
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
)

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// bytes is a size in three digits at most.
func bytes(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"Ki", "Mi", "Gi", "Ti", "Pi"} {
		if value < 1000 {
			break
		}
		value, unit = value/1024, next
	}
	if value < 10 && unit != "B" {
		return fmt.Sprintf("%.1f%s", value, unit)
	}
	return fmt.Sprintf("%.0f%s", value, unit)
}

func perSecond(n float64) string { return bytes(int64(n)) + "/s" }

// tones of the words with which objects say how they are.
var tones = []struct {
	tone  theme.Tone
	words []string
}{
	{theme.Good, []string{"Running", "Ready", "Active", "Bound", "Available", "True", "Established", "running", "ready", "connected"}},
	{theme.Dim, []string{"Completed", "Succeeded", "Complete", "Normal", "stopped", "absent", "Released"}},
	{theme.Busy, []string{"Pending", "ContainerCreating", "PodInitializing", "Terminating", "starting", "booting", "Progressing", "paused"}},
	{theme.Warn, []string{"Warning", "Unknown", "unknown", "SchedulingDisabled", "Suspended", "degraded", "not registered"}},
	{theme.Bad, []string{
		"Failed", "Error", "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "OOMKilled", "Evicted", "NotReady", "False",
		"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
		"NodeLost", "Lost", "damaged", "ContainerStatusUnknown", "DeadlineExceeded", "BackoffLimitExceeded", "StartError",
	}},
}

// toneOf is the tone of a state's name.
func toneOf(state string) theme.Tone {
	head, rest, _ := strings.Cut(state, ",") // "Ready,SchedulingDisabled"
	if rest != "" {
		if t := toneOf(rest); t != theme.Plain {
			return t
		}
	}
	if step, ok := strings.CutPrefix(head, "Init:"); ok {
		if t := toneOf(step); t == theme.Bad {
			return t
		}
		return theme.Busy
	}
	for _, t := range tones {
		for _, w := range t.words {
			if head == w {
				return t.tone
			}
		}
	}
	return theme.Plain
}

// tone of a cell in a table of objects.
func tone(resource object.Resource, column, cell string) theme.Tone {
	switch column {
	case "Name":
		return theme.Accent
	case "Status", "Phase", "Type", "State", "Conditions":
		return toneOf(cell)
	case "Reason":
		if resource.Name == "events" {
			return theme.Plain
		}
		return toneOf(cell)
	case "Ready", "Completions", "Available":
		return parts(cell)
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

// parts is the tone of "1/2".
func parts(cell string) theme.Tone {
	done, all, ok := strings.Cut(cell, "/")
	switch {
	case !ok:
		return theme.Plain
	case done == all && all == "0":
		return theme.Dim
	case done == all:
		return theme.Good
	}
	return theme.Warn
}

// oldest is the freshness of the source that lags most: one that does not
// answer before those that do.
func oldest(sources []string, of func(string) object.Freshness) object.Freshness {
	var worst object.Freshness
	for i, source := range sources {
		f := of(source)
		if i == 0 || worst.State == object.Live && (f.State != object.Live || f.At.Before(worst.At)) {
			worst = f
		}
	}
	return worst
}

// Messages that several screens show in place of rows.
const (
	loading = "loading …"
	noMatch = "no matches; esc clears the filter"
)

// chooseHint explains a field with choices.
const chooseHint = "← → to choose"
