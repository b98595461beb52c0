package objects

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/address"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// column is a column of the server, or one that the dashboard adds.
type column struct {
	object.Column
	from int // index in Row.Cells, or one of the constants below
}

// Columns that the dashboard adds.
const (
	fromCluster = -1 - iota
	fromNamespace
	fromCPU
	fromMemory
	fromHost
	fromURL
)

// arrange decides which columns are shown.
func (s *Screen) arrange() {
	var columns []column
	if len(s.clusters) > 1 {
		columns = append(columns, column{object.Column{Name: "Cluster"}, fromCluster})
	}
	if s.resource.Namespaced && len(s.namespaces) != 1 {
		columns = append(columns, column{object.Column{Name: "Namespace"}, fromNamespace})
	}
	adjust := s.kind.Columns
	for i, c := range s.serverColumns() {
		if c.Wide && !s.wide && !slices.Contains(adjust.Shown, c.Name) || slices.Contains(adjust.Hidden, c.Name) {
			continue
		}
		if c.Name == "Object" && strings.HasPrefix(s.narrow.Fields, kind.Involved) {
			continue // all events are about the same object
		}
		if adjust.Usage && c.Name == "Age" && s.hasUsage() {
			columns = append(columns, column{object.Column{Name: "CPU"}, fromCPU}, column{object.Column{Name: "Memory"}, fromMemory})
		}
		if adjust.Addresses && c.Name == "Age" {
			columns = append(columns, s.addressColumns()...)
		}
		columns = append(columns, column{c, i})
	}
	s.columns = columns
	shown := make([]widget.Column, len(columns))
	for i, c := range columns {
		shown[i] = widget.Column{Title: c.Name, Right: numeric[c.Name], Min: minWidth(c.Name), Spare: c.Wide || c.from <= fromCPU}
	}
	s.table.SetColumns(shown)
}

// serverColumns returns the columns of the first cluster that has responded.
func (s *Screen) serverColumns() []object.Column {
	for _, cluster := range s.clusters {
		if t := s.tables[cluster]; len(t.Columns) > 0 {
			return t.Columns
		}
	}
	return nil
}

// hasUsage reports whether usage of any pod is known.
func (s *Screen) hasUsage() bool {
	for _, stats := range s.usage {
		if len(stats.Pods) > 0 {
			return true
		}
	}
	return false
}

// numeric columns are aligned to the right.
var numeric = map[string]bool{"CPU": true, "Memory": true, "Desired": true, "Current": true, "Up-to-date": true, "Data": true}

// minWidth returns the width to which a column may be cut, or 0.
func minWidth(column string) int {
	switch column {
	case "Name", "Message", "Object":
		return 20
	case "URL", "On this host":
		return 16
	case "Namespace":
		return 8
	case "Node", "Selector", "Images", "Containers", "Labels":
		return 10
	}
	return 0
}

// source implements widget.Source for the rows of a screen.
type source struct {
	s *Screen
	w *screen.World
}

func (src source) Len() int { return len(src.s.rows) }

func (src source) Key(i int) string { return src.s.rows[i].Key() }

func (src source) Cell(i, c int) string {
	r, col := src.s.rows[i], src.s.columns[c]
	switch col.from {
	case fromCluster:
		return r.Cluster
	case fromNamespace:
		return r.Namespace
	case fromCPU, fromMemory:
		return src.usage(r, col.from)
	case fromHost, fromURL:
		return src.address(r, col.from)
	}
	if col.Name == "Status" && r.Deleting {
		return "Terminating"
	}
	return r.Cell(col.Column, col.from, src.w.Now)
}

// usage returns the CPU or memory usage of a pod, or "-" if it is not known. The
// kubelet reports no memory for a pod that has just started.
func (src source) usage(r *object.Row, from int) string {
	use, ok := src.s.usage[r.Cluster].Pods[r.Namespace+"/"+r.Name]
	switch {
	case !ok || use.MemoryBytes == 0:
		return "-"
	case from == fromCPU:
		return fmt.Sprintf("%dm", use.MilliCPU)
	}
	return format.Bytes(use.MemoryBytes)
}

func (src source) Tone(i, c int) theme.Tone {
	if src.s.rows[i].Deleting {
		return theme.Dim
	}
	if from := src.s.columns[c].from; from == fromHost && address.Problems(src.s.addressesOf(src.s.rows[i])) != "" {
		return theme.Warn
	}
	return format.CellTone(src.s.resource, src.s.columns[c].Name, src.Cell(i, c))
}
