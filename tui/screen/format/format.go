// Package format turns values into the short texts, tones and blocks of lines
// that several screens show.
package format

import (
	"fmt"
	"strings"
	"time"
)

// Messages that screens show in place of rows, and hints of forms.
const (
	Loading    = "loading …"
	NoMatch    = "no matches; esc clears the filter"
	ChooseHint = "← → to choose"
)

// Count returns a number with its noun.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Few returns the first names, and how many more there are.
func Few(names []string, limit int) []string {
	if len(names) <= limit {
		return names
	}
	return append(append([]string(nil), names[:limit]...), fmt.Sprintf("… and %d more", len(names)-limit))
}

// Bytes returns a size with at most three digits.
func Bytes(n int64) string {
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

// Known returns a size, or "-" for 0, which means that it is not known.
func Known(n int64) string {
	if n == 0 {
		return "-"
	}
	return Bytes(n)
}

// PerSecond returns a rate in bytes per second.
func PerSecond(n float64) string { return Bytes(int64(n)) + "/s" }

// InNamespaces describes a selection of namespaces.
func InNamespaces(names []string) string {
	if len(names) == 0 {
		return "in all namespaces"
	}
	return "in " + strings.Join(Few(names, 3), ", ")
}

// Selection describes the marked rows and the filter for unhealthy ones, for
// the end of a title.
func Selection(marks int, unhealthy bool) string {
	text := ""
	if marks > 0 {
		text = fmt.Sprintf(", %d marked", marks)
	}
	if unhealthy {
		text += ", unhealthy only"
	}
	return text
}

// Span returns a duration without units that are zero: "2d", "90m", "1h".
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.Round(time.Second).String()
	for _, zero := range []string{"0s", "0m"} {
		if rest := strings.TrimSuffix(text, zero); strings.HasSuffix(rest, "m") || strings.HasSuffix(rest, "h") {
			text = rest
		}
	}
	return text
}
