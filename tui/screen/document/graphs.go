package document

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// ranges are how far back graphs can begin.
var ranges = []time.Duration{15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

// measured are the resources whose objects have graphs.
var measured = []string{
	object.Nodes.ID(), object.Pods.ID(), object.Deployments.ID(), object.StatefulSets.ID(), object.DaemonSets.ID(), object.ReplicaSets.ID(),
}

// roomForGraphs is the height from which graphs are shown unless the user hides them.
const roomForGraphs = 36

// graphs are the graphs above a description.
type graphs struct {
	data feed.GraphData
	at   int // in ranges
	// hidden and shown are the user's choice. If neither is set, the height decides.
	hidden, shown bool
}

// Layout in cells.
const (
	axisWidth = 11
	rows      = 3 // of one graph
)

// need requests the graphs of an object.
func (g *graphs) need(ref object.Ref) feed.Need { return feed.Graphs{Ref: ref, Range: ranges[g.at]} }

// act answers an action on the graphs. It returns false for other actions.
func (g *graphs) act(a keys.Action, visible bool) bool {
	switch a {
	case keys.Graphs:
		g.hidden, g.shown = visible, !visible
	case keys.Longer:
		g.show(min(g.at+1, len(ranges)-1))
	case keys.Shorter:
		g.show(max(g.at-1, 0))
	default:
		return false
	}
	return true
}

// show shows another range, and the graphs if they were hidden.
func (g *graphs) show(at int) {
	if at != g.at {
		g.at, g.data = at, feed.GraphData{}
	}
	g.hidden, g.shown = false, true
}

// visible reports whether the graphs are drawn in a box of the given height.
func (g *graphs) visible(height int) bool {
	return !g.hidden && (g.shown || height >= roomForGraphs && g.any())
}

// any reports whether anything was measured.
func (g *graphs) any() bool {
	return slices.ContainsFunc(g.data.All, func(one feed.Graph) bool { return !math.IsNaN(last(one.Values)) })
}

// view draws the graphs, two side by side if there is room.
func (g *graphs) view(th *theme.Theme, width, height int) []string {
	title := "Last " + format.Span(ranges[g.at])
	if !g.any() {
		note := "nothing was recorded"
		switch {
		case g.data.Problem != "":
			note = g.data.Problem
		case g.data.State == object.Loading:
			note = format.Loading
		}
		return format.Panel(th, title, width, format.Note(th, note), "")
	}
	var lines []string
	one := func(graph feed.Graph, width int) []string { return area(th, graph, ranges[g.at], width) }
	for i := 0; i < len(g.data.All) && (i == 0 || len(lines)+rows+2 <= height*2/3); {
		if width >= format.WideDetails && i+1 < len(g.data.All) {
			half := width/2 - 2
			lines = append(lines, format.Beside(one(g.data.All[i], half), one(g.data.All[i+1], half), half, 2)...)
			i += 2
			continue
		}
		lines = append(lines, one(g.data.All[i], width-2)...)
		i++
	}
	return format.Panel(th, title, width, append(lines, "")...)
}

// area draws one graph with its axes.
func area(th *theme.Theme, g feed.Graph, span time.Duration, width int) []string {
	most := 0.0
	for _, v := range g.Values {
		if v > most { // false for NaN
			most = v
		}
	}
	room := max(10, width-axisWidth)
	lines := []string{" " + th.Paint(theme.Title, g.Title) + "  " + quantity(last(g.Values), g.Unit) + th.Paint(theme.Dim, "  at most "+quantity(most, g.Unit))}
	for i, l := range widget.Area(g.Values, room, rows, most) {
		label := map[int]string{0: quantity(most, g.Unit), rows - 1: "0"}[i]
		lines = append(lines, th.Paint(theme.Dim, fmt.Sprintf("%*s ", axisWidth-1, label))+th.Paint(tones[g.Title], l))
	}
	begin, middle := "-"+format.Span(span), "-"+format.Span(span/2)
	half := room/2 - len(middle)/2
	axis := begin + strings.Repeat(" ", max(1, half-len(begin))) + middle
	axis += strings.Repeat(" ", max(1, room-len(axis)-len("now"))) + "now"
	return append(lines, strings.Repeat(" ", axisWidth)+th.Paint(theme.Dim, axis))
}

// tones are the colours of graphs.
var tones = map[string]theme.Tone{"CPU": theme.Good, "Memory": theme.Busy, "Received": theme.Accent, "Sent": theme.Number}

// last returns the newest value, or NaN.
func last(values []float64) float64 {
	for _, v := range slices.Backward(values) {
		if !math.IsNaN(v) {
			return v
		}
	}
	return math.NaN()
}

// quantity formats a value.
func quantity(value float64, unit feed.Unit) string {
	switch {
	case math.IsNaN(value):
		return "-"
	case unit == feed.Bytes:
		return format.Bytes(int64(value))
	case unit == feed.BytesPerSecond:
		return format.PerSecond(value)
	case value < 1:
		return fmt.Sprintf("%.0fm", 1000*value)
	}
	return fmt.Sprintf("%.2f", value)
}
