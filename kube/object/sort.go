package object

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Rank is the sort key of a cell. Numbers, ages and quantities sort by value,
// before all text.
type Rank struct {
	Number float64
	Text   string
	IsText bool
}

// RankOf returns the rank of a cell.
func RankOf(cell string) Rank {
	switch cell {
	case "", "-", "<none>", "<unknown>":
		return Rank{Number: -1}
	}
	if first := cell[0]; (first < '0' || first > '9') && first != '-' && first != '+' {
		return Rank{Text: cell, IsText: true}
	}
	head, _, _ := strings.Cut(cell, " ") // "3 (5m ago)"
	if n, err := strconv.ParseFloat(strings.TrimSuffix(head, "%"), 64); err == nil {
		return Rank{Number: n}
	}
	if ready, all, ok := strings.Cut(head, "/"); ok { // "1/2"
		a, errA := strconv.ParseFloat(ready, 64)
		b, errB := strconv.ParseFloat(all, 64)
		if errA == nil && errB == nil && b > 0 {
			return Rank{Number: a/b + a*1e-6}
		}
	}
	if d, ok := ParseAge(head); ok {
		return Rank{Number: d.Seconds()}
	}
	if q, err := resource.ParseQuantity(head); err == nil {
		return Rank{Number: q.AsApproximateFloat64()}
	}
	return Rank{Text: cell, IsText: true}
}

// Compare compares ranks in the manner of cmp.Compare.
func (r Rank) Compare(other Rank) int {
	switch {
	case r.IsText != other.IsText:
		if r.IsText {
			return 1
		}
		return -1
	case r.IsText:
		return strings.Compare(r.Text, other.Text)
	case r.Number < other.Number:
		return -1
	case r.Number > other.Number:
		return 1
	}
	return 0
}
