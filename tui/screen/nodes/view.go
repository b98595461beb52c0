package nodes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// View implements screen.Screen. The node under the cursor is shown in detail
// below the table.
func (s *Screen) View(w *screen.World, width, height int) []string {
	at := s.At()
	if at < 0 || at >= len(s.nodes) {
		return s.Grid.View(w, width, height, s.Freshness(), "no nodes found")
	}
	const minTable, minDetails = 5, 5
	rows := max(minTable, min(len(s.Lines)+2, height/2))
	if height-rows < minDetails {
		return s.Table.View(w.Theme, width, height)
	}
	details := s.details(w, s.nodes[at], width, height-rows)
	return append(widget.Box(s.Table.View(w.Theme, width, rows), width, rows), details...)
}

// details draws what is known about one node in at most room lines.
func (s *Screen) details(w *screen.World, n node, width, room int) []string {
	th := w.Theme
	h := s.historyOf(n.cluster, n.name)
	graph := max(10, min(60, width/2-30))
	left := append(guestGraphs(th, n, h, graph), hostGraphs(th, n, h, graph)...)
	facts := n.facts(w)
	if width >= format.WideDetails {
		leftWidth := 26 + graph + 2
		left = format.Beside(left, format.Facts(th, facts, width-leftWidth-2), leftWidth, 2)
		return clip(th, format.Panel(th, n.name, width, left...), room)
	}
	// Problems come first, then the graphs, then the rest. If that does not fit,
	// the figures of the host take one line.
	first := min(len(facts), 3)
	head, rest := indented(th, facts[:first], width), indented(th, facts[first:], width)
	if 1+len(head)+len(left)+len(rest) > room {
		left = guestGraphs(th, n, h, graph)
		rest = append(indented(th, n.hostFacts(h), width), rest...)
	}
	return clip(th, format.Panel(th, n.name, width, slices.Concat(head, left, rest)...), room)
}

func indented(th *theme.Theme, facts []format.Fact, width int) []string {
	lines := format.Facts(th, facts, width-4)
	for i, l := range lines {
		lines[i] = "  " + l
	}
	return lines
}

// clip cuts lines to room, and tells the user how to see the rest.
func clip(th *theme.Theme, lines []string, room int) []string {
	if len(lines) <= room {
		return lines
	}
	return append(lines[:room-1:room-1], format.Note(th, "… d shows all details"))
}

func graphLine(th *theme.Theme, name, value string, s widget.Series, width int, top float64, tone theme.Tone) string {
	return "  " + th.Paint(theme.Dim, widget.Fit(name, format.Indent)) + widget.Fit(value, 14) + th.Paint(tone, widget.Spark(s, width-2, top))
}

// guestGraphs draws the measurements inside a node. Guest and host share one
// network link, so there are no separate figures for the host.
func guestGraphs(th *theme.Theme, n node, h *history, width int) []string {
	lines := []string{
		graphLine(th, "CPU", n.cpu(), h.cpu, width, float64(n.machine.CPUs)*1000, theme.Good),
		graphLine(th, "memory", n.memory(), h.memory, width, float64(n.guest.MemoryTotalKiB)*1024, theme.Busy),
	}
	if size := n.guest.DiskTotalBytes; size > 0 {
		used := format.Bytes(size-n.guest.DiskFreeBytes) + "/" + format.Bytes(size)
		lines = append(lines, graphLine(th, "disk", used, h.disk, width, float64(size), theme.String))
	}
	return append(lines,
		graphLine(th, "received", format.PerSecond(n.use.ReceivedPerS), h.received, width, 0, theme.Number),
		graphLine(th, "sent", format.PerSecond(n.use.SentPerS), h.sent, width, 0, theme.Number))
}

// hostGraphs draws what the node's machine takes from the host.
func hostGraphs(th *theme.Theme, n node, h *history, width int) []string {
	if n.machine.Name == "" {
		return nil
	}
	return []string{
		graphLine(th, "host CPU", h.lastCPU(), h.hostCPU, width, float64(n.machine.CPUs), theme.Good),
		graphLine(th, "host memory", n.hostMemory(), h.hostMemory, width, float64(n.machine.MemoryMiB), theme.Busy),
		graphLine(th, "host disk", n.hostDisk(), h.hostDisk, width, float64(n.guest.DiskTotalBytes), theme.String),
	}
}

// hostFacts is hostGraphs in one line.
func (n node) hostFacts(h *history) []format.Fact {
	if n.machine.Name == "" {
		return nil
	}
	return []format.Fact{{Name: "on host", Value: h.lastCPU() + " CPU, " + n.hostMemory() + " memory, " + n.hostDisk() + " disk"}}
}

func (h *history) lastCPU() string {
	if len(h.hostCPU) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", h.hostCPU.Last())
}

// facts returns everything else that is known about a node, problems first.
func (n node) facts(w *screen.World) []format.Fact {
	message := n.machine.MachineMessage
	if message == "" {
		message = n.machine.Reason
	}
	facts := []format.Fact{{Name: "faults", Value: strings.Join(n.machine.Faults, ", "), Tone: theme.Warn}, {Name: "message", Value: message, Tone: theme.Warn}, {Name: "image", Value: n.machine.OutdatedText(), Tone: theme.Warn}}
	for _, p := range n.guest.Problems {
		facts = append(facts, format.Fact{Name: "problem", Value: p, Tone: theme.Bad})
	}
	if n.row != nil {
		facts = append(facts, conditions(n.row.Conditions), format.Fact{Name: "taints", Value: strings.Join(n.row.Taints, ", "), Tone: theme.Warn})
	}
	facts = append(facts, format.Fact{Name: "machine", Value: n.machineText(w)}, format.Fact{Name: "programs", Value: n.programs()})
	if held := n.machine.Certificates; len(held) > 0 {
		text, tone := format.FirstCertificate(w.Now, held)
		if tone == theme.Good {
			tone = theme.Plain
		}
		facts = append(facts, format.Fact{Name: "certificates", Value: text, Tone: tone})
	}
	facts = append(facts, format.Fact{Name: "system", Value: joinKnown(n.cell("OS-Image"), n.cell("Kernel-Version"), n.cell("Container-Runtime"))})
	return slices.DeleteFunc(facts, func(f format.Fact) bool { return f.Value == "" })
}

func joinKnown(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ", ")
}

// machineText describes the machine of a node, if it is on this host.
func (n node) machineText(w *screen.World) string {
	if n.machine.Name == "" {
		return ""
	}
	up := ""
	if age := n.up(w); age != "-" {
		up = "up " + age
	}
	return joinKnown(n.machine.Machine, format.Machines(w.Hosts[n.cluster]), up)
}

// conditions describes the unhealthy conditions of a node in the kubelet's own
// words, or lists all conditions if they are healthy.
func conditions(all []object.Condition) format.Fact {
	var healthy, unhealthy []string
	for _, c := range all {
		if c.Healthy() {
			name := c.Type
			if c.Status == "False" {
				name = "no " + name
			}
			healthy = append(healthy, name)
			continue
		}
		text := c.Type + " " + c.Status
		if c.Reason != "" {
			text += " (" + c.Reason + ")"
		}
		if c.Message != "" {
			text += ": " + c.Message
		}
		unhealthy = append(unhealthy, text)
	}
	if len(unhealthy) > 0 {
		return format.Fact{Name: "conditions", Value: strings.Join(unhealthy, "; "), Tone: theme.Bad}
	}
	return format.Fact{Name: "conditions", Value: strings.Join(healthy, ", "), Tone: theme.Good}
}

// programs lists the programs that skiff-init runs on the node. It leaves out
// those that have not run or have finished successfully.
func (n node) programs() string {
	var programs []string
	for _, p := range n.guest.Programs {
		if p.PID == 0 && (p.LastExit == "" || p.LastExit == "exit code 0") {
			continue
		}
		text := p.Name
		if p.Restarts > 0 {
			text += " (" + format.Count(p.Restarts, "restart", "restarts") + ")"
		}
		if p.PID == 0 {
			text += " stopped"
		}
		programs = append(programs, text)
	}
	return strings.Join(programs, ", ")
}
