package screen

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// View is Screen's: the nodes, and below them the one under the cursor.
func (n *Nodes) View(w *World, width, height int) []string {
	at := n.at()
	if at < 0 || at >= len(n.nodes) {
		lines := n.table.View(w.Theme, width, height)
		text := loading
		if len(n.grid.all) > 0 {
			text = noMatch
		} else if f := n.Freshness(); f.State != object.Loading {
			text = cmp.Or(f.Problem, "no nodes found")
		}
		return append(lines, "", w.Theme.Paint(theme.Dim, "  "+text))
	}
	const leastTable, leastDetails = 5, 5
	rows := max(leastTable, min(len(n.lines)+2, height/2))
	if height-rows < leastDetails {
		return n.table.View(w.Theme, width, height)
	}
	details := n.details(w, n.nodes[at], width, height-rows)
	return append(widget.Box(n.table.View(w.Theme, width, rows), width, rows), details...)
}

// wideDetails is the width from which facts stand beside the graphs.
const wideDetails = 110

// details draws what is known of one node, in at most room lines.
func (n *Nodes) details(w *World, v nodeView, width, room int) []string {
	th := w.Theme
	graph := max(10, min(60, width/2-30))
	left, right := n.graphs(w, v, graph), n.facts(w, v)
	if width >= wideDetails {
		both := beside(left, draw(th, right, width-(26+graph+4)), 26+graph+2, 2)
		lines := panel(th, v.name, width, both...)
		return lines[:min(len(lines), room)]
	}
	// What is wrong, then how it is, then all else, as far as there is room.
	var lines []string
	first := min(len(right), 3)
	for _, l := range draw(th, right[:first], width-4) {
		lines = append(lines, "  "+l)
	}
	lines = append(lines, left...)
	for _, l := range draw(th, right[first:], width-4) {
		lines = append(lines, "  "+l)
	}
	lines = panel(th, v.name, width, lines...)
	return lines[:min(len(lines), room)]
}

// graphs of a node: in the guest, then of its machine on the host. The machine's
// link is the guest's: there is one figure for both.
func (n *Nodes) graphs(w *World, v nodeView, width int) []string {
	th, h := w.Theme, n.historyOf(v.cluster, v.name)
	line := func(name, now string, s widget.Series, top float64, tone theme.Tone) string {
		return "  " + th.Paint(theme.Dim, widget.Fit(name, indent)) + widget.Fit(now, 14) + th.Paint(tone, widget.Spark(s, width-2, top))
	}
	lines := []string{
		line("CPU", v.cpu(), h.cpu, float64(v.machine.CPUs)*1000, theme.Good),
		line("memory", v.memory(), h.memory, float64(v.guest.MemoryTotalKiB)*1024, theme.Busy),
	}
	if v.guest.DiskTotalBytes > 0 {
		used := v.guest.DiskTotalBytes - v.guest.DiskFreeBytes
		lines = append(lines, line("disk", bytes(used)+"/"+bytes(v.guest.DiskTotalBytes), h.disk, float64(v.guest.DiskTotalBytes), theme.String))
	}
	lines = append(lines,
		line("received", perSecond(v.use.ReceivedPerS), h.received, 0, theme.Number),
		line("sent", perSecond(v.use.SentPerS), h.sent, 0, theme.Number))
	if v.machine.Name == "" {
		return lines
	}
	cpu := "-"
	if len(h.hostCPU) > 0 {
		cpu = fmt.Sprintf("%.2f", h.hostCPU.Last())
	}
	return append(lines,
		line("host CPU", cpu, h.hostCPU, float64(v.machine.CPUs), theme.Good),
		line("host memory", v.onHost(), h.hostMemory, float64(v.machine.MemoryMiB), theme.Busy),
		line("host disk", v.disk(), h.hostDisk, float64(v.guest.DiskTotalBytes), theme.String))
}

// fact is a line of what is known of a node.
type fact struct {
	name, value string
	tone        theme.Tone
}

// facts are what else is known of a node, most telling first.
func (n *Nodes) facts(w *World, v nodeView) []fact {
	var all []fact
	add := func(name, value string, tone theme.Tone) {
		if value != "" {
			all = append(all, fact{name, value, tone})
		}
	}
	message := v.machine.MachineMessage
	if message == "" {
		message = v.machine.Reason
	}
	add("message", message, theme.Warn)
	for _, p := range v.guest.Problems {
		add("problem", p, theme.Bad)
	}
	if v.row != nil {
		text, tone := conditionsText(v.row.Conditions)
		add("conditions", text, tone)
		add("taints", strings.Join(v.row.Taints, ", "), theme.Warn)
	}
	if v.machine.Name != "" {
		text := v.machine.Machine
		if how := machines(w.Hosts[v.cluster]); how != "" {
			text += ", " + how
		}
		if up := v.up(w); up != "-" {
			text += ", up " + up
		}
		add("machine", text, theme.Plain)
	}
	add("programs", v.programs(), theme.Plain)
	if held := v.machine.Certificates; len(held) > 0 {
		text, tone := firstOf(w.Now, held)
		if tone == theme.Good {
			tone = theme.Plain
		}
		add("certificates", text, tone)
	}
	add("system", n.cell(v, "OS-Image"), theme.Plain)
	add("kernel", n.cell(v, "Kernel-Version"), theme.Plain)
	add("runtime", n.cell(v, "Container-Runtime"), theme.Plain)
	return all
}

// conditionsText names the conditions that are not as they should be, with the
// kubelet's words; or all of them, when they are.
func conditionsText(all []object.Condition) (string, theme.Tone) {
	var well, ill []string
	for _, c := range all {
		if c.Well() {
			name := c.Type
			if c.Status == "False" {
				name = "no " + name
			}
			well = append(well, name)
			continue
		}
		text := c.Type + " " + c.Status
		if c.Reason != "" {
			text += " (" + c.Reason + ")"
		}
		if c.Message != "" {
			text += ": " + c.Message
		}
		ill = append(ill, text)
	}
	if len(ill) > 0 {
		return strings.Join(ill, "; "), theme.Bad
	}
	return strings.Join(well, ", "), theme.Good
}

// programs are what skiff's init runs on the node.
func (v nodeView) programs() string {
	var programs []string
	for _, p := range v.guest.Programs {
		if p.PID == 0 && (p.LastExit == "" || p.LastExit == "exit code 0") {
			continue // it has not run, or has done what it had to do
		}
		text := p.Name
		if p.Restarts > 0 {
			text += " (" + count(p.Restarts, "restart", "restarts") + ")"
		}
		if p.PID == 0 {
			text += " stopped"
		}
		programs = append(programs, text)
	}
	return strings.Join(programs, ", ")
}

// indent of a fact's value.
const indent = 13

// draw lays facts out in lines of width cells at most.
func draw(th *theme.Theme, facts []fact, width int) []string {
	var lines []string
	for _, f := range facts {
		head := th.Paint(theme.Dim, widget.Fit(f.name, indent))
		for _, text := range strings.Split(ansi.Wrap(f.value, max(10, width-indent), " "), "\n") {
			lines = append(lines, head+th.Paint(f.tone, text))
			head = strings.Repeat(" ", indent)
		}
	}
	return lines
}
