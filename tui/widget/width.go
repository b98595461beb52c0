// Package widget holds the building blocks of screens: tables, texts, input
// lines, forms and sparklines. Each is plain state with a function that draws it
// into a box of cells. None of them performs I/O.
package widget

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Width returns the width of text in cells.
func Width(text string) int {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return ansi.StringWidth(text)
		}
	}
	return len(text)
}

// Fit truncates or pads text to exactly width cells.
func Fit(text string, width int) string {
	if width <= 0 {
		return ""
	}
	w := Width(text)
	if w > width {
		text = ansi.Truncate(text, width, "…")
		w = Width(text)
	}
	return text + spaces(width-w)
}

// FitRight is like Fit but aligns the text to the right.
func FitRight(text string, width int) string {
	if w := Width(text); w < width {
		return spaces(width-w) + text
	}
	return Fit(text, width)
}

// Cut truncates text to at most width cells.
func Cut(text string, width int) string {
	if width <= 0 {
		return ""
	}
	if Width(text) <= width {
		return text
	}
	return ansi.Truncate(text, width, "…")
}

// Box returns exactly height lines of width cells.
func Box(lines []string, width, height int) []string {
	boxed := make([]string, 0, height)
	for i := range height {
		if i < len(lines) {
			boxed = append(boxed, Fit(lines[i], width))
		} else {
			boxed = append(boxed, spaces(width))
		}
	}
	return boxed
}

const blanks = "                                                                                                                                "

func spaces(n int) string {
	if n <= 0 {
		return ""
	}
	if n <= len(blanks) {
		return blanks[:n]
	}
	return strings.Repeat(" ", n)
}
