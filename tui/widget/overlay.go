package widget

import "github.com/charmbracelet/x/ansi"

// Overlay draws box over the lines of under, with its top left corner at x, y.
func Overlay(under, box []string, x, y int) []string {
	out := append([]string(nil), under...)
	for i, line := range box {
		if y+i >= len(out) {
			break
		}
		w := Width(line)
		below := out[y+i]
		left := Fit(ansi.Cut(below, 0, x), x)
		right := ""
		if all := Width(below); all > x+w {
			right = ansi.Cut(below, x+w, all)
		}
		out[y+i] = left + "\x1b[m" + line + "\x1b[m" + right
	}
	return out
}
