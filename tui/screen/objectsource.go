package screen

import (
	"fmt"

	"github.com/skiff-dev/skiff/tui/theme"
)

// objectSource shows the rows of a screen in its table.
type objectSource struct {
	o *Objects
	w *World
}

func (s objectSource) Len() int { return len(s.o.rows) }

func (s objectSource) Key(i int) string { return s.o.rows[i].Key() }

func (s objectSource) Cell(i, c int) string {
	r, col := s.o.rows[i], s.o.columns[c]
	switch col.from {
	case fromCluster:
		return r.Cluster
	case fromNamespace:
		return r.Namespace
	case fromCPU, fromMemory:
		use, ok := s.o.usage[r.Cluster].Pods[r.Namespace+"/"+r.Name]
		switch {
		case !ok:
			return "-"
		case col.from == fromCPU:
			return fmt.Sprintf("%dm", use.MilliCPU)
		}
		return bytes(use.MemoryBytes)
	}
	text := r.Cell(col.Column, col.from, s.w.Now)
	if col.Name == "Status" && r.Deleting {
		return "Terminating"
	}
	return text
}

func (s objectSource) Tone(i, c int) theme.Tone {
	r := s.o.rows[i]
	if r.Deleting {
		return theme.Dim
	}
	return tone(s.o.Resource, s.o.columns[c].Name, s.Cell(i, c))
}
