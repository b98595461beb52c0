package nodes

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// column is a column of the table.
type column struct {
	widget.Column
	// several shows the column only with several clusters, local only with
	// machines of this host.
	several, local bool
	cell           func(n node, w *screen.World) grid.Cell
}

var columns = []column{
	{Column: widget.Column{Title: "Name", Min: 16}, cell: func(n node, _ *screen.World) grid.Cell { return grid.Cell{Text: n.name, Tone: theme.Accent} }},
	{Column: widget.Column{Title: "Cluster", Min: 8}, several: true, cell: func(n node, _ *screen.World) grid.Cell { return grid.Dim(n.cluster) }},
	{Column: widget.Column{Title: "Status"}, cell: func(n node, _ *screen.World) grid.Cell { return grid.State(n.status()) }},
	{Column: widget.Column{Title: "Role", Min: 6}, cell: func(n node, _ *screen.World) grid.Cell { return grid.Plain(n.role()) }},
	{Column: widget.Column{Title: "CPU", Right: true}, cell: func(n node, _ *screen.World) grid.Cell { return grid.Plain(n.cpu()) }},
	{Column: widget.Column{Title: "Memory", Right: true}, cell: func(n node, _ *screen.World) grid.Cell { return grid.Plain(n.memory()) }},
	{Column: widget.Column{Title: "Pods", Right: true}, cell: func(n node, _ *screen.World) grid.Cell { return grid.Plain(strconv.Itoa(n.pods)) }},
	{Column: widget.Column{Title: "On host", Right: true}, local: true, cell: func(n node, _ *screen.World) grid.Cell { return grid.Plain(n.hostMemory()) }},
	{Column: widget.Column{Title: "Disk", Right: true}, local: true, cell: func(n node, _ *screen.World) grid.Cell { return grid.Plain(n.hostDisk()) }},
	{Column: widget.Column{Title: "Up"}, local: true, cell: func(n node, w *screen.World) grid.Cell { return grid.Dim(n.up(w)) }},
	{Column: widget.Column{Title: "Machine", Spare: true}, local: true, cell: func(n node, _ *screen.World) grid.Cell { return grid.State(n.machine.Machine) }},
	{Column: widget.Column{Title: "Driver", Spare: true}, local: true, cell: func(n node, w *screen.World) grid.Cell { return grid.Dim(w.Hosts[n.cluster].Driver) }},
	{Column: widget.Column{Title: "Taints", Spare: true}, cell: func(n node, _ *screen.World) grid.Cell { return n.taints() }},
	{Column: widget.Column{Title: "Address", Spare: true}, cell: func(n node, _ *screen.World) grid.Cell { return grid.Dim(n.address()) }},
	{Column: widget.Column{Title: "Version", Spare: true}, cell: func(n node, _ *screen.World) grid.Cell { return grid.Dim(n.cell("Version")) }},
	{Column: widget.Column{Title: "Age", Spare: true}, cell: func(n node, w *screen.World) grid.Cell { return grid.Dim(n.age(w)) }},
}

// arrange builds the lines of the table.
func (s *Screen) arrange(w *screen.World) {
	several := len(s.clusters) > 1
	local := slices.ContainsFunc(s.nodes, func(n node) bool { return n.machine.Name != "" })
	shown := slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return c.several && !several || c.local && !local })
	var titles []widget.Column
	for _, c := range shown {
		titles = append(titles, c.Column)
	}
	s.Table.SetColumns(titles)
	var lines []grid.Line
	for i, n := range s.nodes {
		if s.unhealthy && n.healthy() {
			continue
		}
		line := grid.Line{Key: n.cluster + "/" + n.name, At: i}
		for _, c := range shown {
			line.Cells = append(line.Cells, c.cell(n, w))
		}
		lines = append(lines, line)
	}
	s.Set(lines)
}

// cell returns a cell of the server's table.
func (n node) cell(column string) string {
	if n.row == nil {
		return ""
	}
	return n.table.Cell(n.row, column)
}

// status returns what the machine reports if it is not running normally, and
// otherwise the status in Kubernetes.
func (n node) status() string {
	if n.machine.Name != "" {
		if state := n.machine.Condition(); state != "Ready" && state != "NotReady" && state != "Unknown" {
			return state
		}
	}
	switch {
	case n.row != nil:
		return n.cell("Status")
	case n.table.State == object.Live:
		return "not registered"
	}
	return n.machine.Condition() // the API server has not answered yet
}

// healthy reports whether no problem of the node is known.
func (n node) healthy() bool {
	if n.status() != "Ready" || len(n.guest.Problems)+len(n.guest.Alarms)+len(n.machine.Faults) > 0 {
		return false
	}
	return n.row == nil || !slices.ContainsFunc(n.row.Conditions, func(c object.Condition) bool { return !c.Healthy() })
}

func (n node) role() string {
	if n.machine.Role != "" {
		return n.machine.Role
	}
	return n.cell("Roles")
}

func (n node) address() string {
	if n.machine.Address != "" {
		return n.machine.Address
	}
	return n.cell("Internal-IP")
}

// cpu returns the CPU usage inside the node and its number of CPUs.
func (n node) cpu() string {
	of := ""
	if n.machine.CPUs > 0 {
		of = fmt.Sprintf("/%d", n.machine.CPUs)
	}
	if n.use.At.IsZero() {
		return "-" + of
	}
	return fmt.Sprintf("%.2f", float64(n.use.MilliCPU)/1000) + of
}

// memory returns the memory usage inside the node and its size.
func (n node) memory() string {
	size, used := int64(n.machine.MemoryMiB)<<20, n.use.MemoryBytes
	if n.guest.MemoryTotalKiB > 0 {
		size, used = n.guest.MemoryTotalKiB<<10, (n.guest.MemoryTotalKiB-n.guest.MemoryAvailableKiB)<<10
	}
	if size == 0 {
		return format.Known(used)
	}
	return format.Known(used) + "/" + format.Bytes(size)
}

// hostMemory returns the memory that the machine takes from the host.
func (n node) hostMemory() string { return format.Known(int64(n.machine.HostMemoryMiB) << 20) }

// hostDisk returns the disk space that the machine takes from the host.
func (n node) hostDisk() string { return format.Known(n.machine.DiskUsedBytes) }

func (n node) up(w *screen.World) string {
	if n.machine.Machine != "running" {
		return "-"
	}
	return object.Age(n.machine.Started, w.Now)
}

func (n node) age(w *screen.World) string {
	if n.row == nil {
		return "-"
	}
	return object.Age(n.row.Created, w.Now)
}

// taints returns the number of taints. The details list them.
func (n node) taints() grid.Cell {
	if n.row == nil || len(n.row.Taints) == 0 {
		return grid.Dim("-")
	}
	return grid.Cell{Text: strconv.Itoa(len(n.row.Taints)), Tone: theme.Warn}
}

func (n node) ref() object.Ref {
	ref := object.Ref{Cluster: n.cluster, Resource: object.Nodes, Name: n.name}
	if n.row != nil {
		ref.UID = n.row.UID
	}
	return ref
}
