package object

import (
	"regexp"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// Age returns the time since t in the format of kubectl.
func Age(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(now.Sub(t))
}

// Cell returns a cell at the time now. It updates ages, which the server computed
// when it sent the row.
func (r *Row) Cell(column Column, i int, now time.Time) string {
	if i >= len(r.Cells) {
		return ""
	}
	cell := r.Cells[i]
	switch column.Name {
	case "Age":
		if !r.Created.IsZero() {
			return Age(r.Created, now)
		}
	case "Last Seen", "First Seen", "Last Schedule":
		if d, ok := ParseAge(cell); ok && now.After(r.Read) {
			return duration.HumanDuration(d + now.Sub(r.Read))
		}
	case "Restarts":
		return aged(cell, now.Sub(r.Read))
	}
	return cell
}

// ago matches the age in the restarts of a pod: "3 (5m ago)".
var ago = regexp.MustCompile(`\(([0-9a-z]+) ago\)$`)

func aged(cell string, elapsed time.Duration) string {
	m := ago.FindStringSubmatchIndex(cell)
	if m == nil {
		return cell
	}
	d, ok := ParseAge(cell[m[2]:m[3]])
	if !ok {
		return cell
	}
	return cell[:m[2]] + duration.HumanDuration(d+max(elapsed, 0)) + cell[m[3]:]
}

// ParseAge parses the output of HumanDuration: "5m", "3h10m", "2y45d".
func ParseAge(text string) (time.Duration, bool) {
	var total time.Duration
	for rest := text; rest != ""; {
		end := 0
		for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
			end++
		}
		if end == 0 || end == len(rest) || end > 9 {
			return 0, false
		}
		n, err := strconv.Atoi(rest[:end])
		if err != nil {
			return 0, false
		}
		unit, ok := units[rest[end]]
		if !ok || n > int(maxAge/unit) {
			return 0, false
		}
		total += time.Duration(n) * unit
		rest = rest[end+1:]
	}
	return total, text != "" && total <= maxAge
}

// maxAge keeps sums of ages within the range of a Duration.
const maxAge = 100 * 365 * 24 * time.Hour

var units = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour,
	'd': 24 * time.Hour, 'y': 365 * 24 * time.Hour,
}
