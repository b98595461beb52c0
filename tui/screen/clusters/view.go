package clusters

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// View implements screen.Screen. The cluster under the cursor is shown in detail
// below the table.
func (s *Screen) View(w *screen.World, width, height int) []string {
	at := s.At()
	if at < 0 || at >= len(s.clusters.All) {
		return s.Grid.View(w, width, height, s.clusters.Freshness, "no clusters found; press + to create one")
	}
	details := details(w, s.clusters.All[at], s.memory[s.clusters.All[at].Name], width)
	room := height - len(details)
	if room < 6 {
		return s.Table.View(w.Theme, width, height)
	}
	rows := min(room, len(s.Lines)+2)
	return append(widget.Box(s.Table.View(w.Theme, width, rows), width, rows), details...)
}

// recent is how long repairs and changes of the autoscaler are shown.
const recent = time.Hour

func details(w *screen.World, c daemonapi.ClusterStatus, history widget.Series, width int) []string {
	th := w.Theme
	facts := []format.Fact{
		{Name: "server", Value: c.Server}, {Name: "machines", Value: cmp.Or(c.Accelerator, c.Driver)}, {Name: "last up", Value: timings(c.Timings)},
	}
	for _, fault := range c.Faults {
		facts = append(facts, format.Fact{Name: "fault", Value: fault.Summary(w.Now), Tone: theme.Warn})
	}
	for _, repair := range c.Repairs {
		if w.Now.Sub(repair.Began) < recent {
			facts = append(facts, format.Fact{Name: "repair", Value: repair.Summary(w.Now), Tone: theme.Warn})
		}
	}
	for _, g := range c.Scaled {
		facts = append(facts, format.Fact{Name: "autoscaled", Value: fmt.Sprintf("%s: %d nodes, %d to %d", g.Group, g.Nodes, g.Min, g.Max)})
	}
	for _, scaling := range c.Scalings {
		if w.Now.Sub(scaling.Began) < recent {
			facts = append(facts, format.Fact{Name: "scaling", Value: scaling.Summary(w.Now)})
		}
	}
	if c.Snapshots > 0 {
		facts = append(facts, format.Fact{Name: "snapshots", Value: strconv.Itoa(c.Snapshots)})
	}
	for _, problem := range c.Problems {
		facts = append(facts, format.Fact{Name: "problem", Value: problem, Tone: theme.Bad})
	}
	for _, note := range c.Notes {
		facts = append(facts, format.Fact{Name: "note", Value: note})
	}
	facts = slices.DeleteFunc(facts, func(f format.Fact) bool { return f.Value == "" })
	var lines []string
	for _, l := range format.Facts(th, facts, width-2) {
		lines = append(lines, "  "+l)
	}
	if memory, _ := usage(c); memory > 0 {
		lines = append(lines, "  "+th.Paint(theme.Dim, widget.Fit("memory", format.Indent))+widget.Fit(format.Bytes(memory), 8)+
			th.Paint(theme.Busy, widget.Spark(history, min(60, width-30), 0)))
	}
	lines = append(lines, "")
	for _, n := range c.Nodes {
		lines = append(lines, "  "+machineLine(th, n, w))
	}
	return format.Panel(th, c.Name, width, lines...)
}

// timings lists the phases of the last "skiff up", longest first.
func timings(seconds map[string]float64) string {
	var names []string
	for name := range seconds {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(seconds[b], seconds[a]), strings.Compare(a, b))
	})
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s %.1f s", name, seconds[name]))
	}
	return strings.Join(out, ", ")
}

func machineLine(th *theme.Theme, n daemonapi.NodeStatus, w *screen.World) string {
	up := ""
	if n.Machine == "running" {
		up = "  up " + object.Age(n.Started, w.Now)
	}
	state := n.Condition()
	tone := format.StateTone(state)
	return th.Paint(tone, "● ") + th.Paint(theme.Accent, widget.Fit(n.Name, 16)) + th.Paint(tone, widget.Fit(state, 15)) +
		widget.Fit(n.Address, 15) + widget.FitRight(fmt.Sprintf("%d CPUs", n.CPUs), 7) + widget.FitRight(format.Bytes(int64(n.MemoryMiB)<<20), 7) +
		widget.FitRight(format.Bytes(n.DiskUsedBytes), 7) + th.Paint(theme.Dim, up) + th.Paint(theme.Warn, strings.TrimRight("  "+cmp.Or(strings.Join(n.Faults, ", "), n.MachineMessage, n.OutdatedText()), " "))
}
