package main

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Sizes of a cell and of the border, in pixels.
const (
	cellWidth, cellHeight = 8.43, 16.4
	border                = 14.0
	baseline              = 12.9
)

// Default colors of the terminal.
const (
	background = "#0d1821"
	foreground = "#d5dee8"
)

// style holds the terminal attributes of a piece of text.
type style struct {
	text, ground  string
	bold, reverse bool
}

// SVG renders the lines of a frame that is columns cells wide.
func SVG(lines []string, columns int) string {
	width, height := float64(columns)*cellWidth+2*border, float64(len(lines))*cellHeight+2*border
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f">`+"\n", width, height, width, height)
	fmt.Fprintf(&out, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
	out.WriteString(`<g font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="14" xml:space="preserve">` + "\n")
	for row, l := range lines {
		drawLine(&out, l, border+float64(row)*cellHeight)
	}
	out.WriteString("</g>\n</svg>\n")
	return out.String()
}

func drawLine(out *strings.Builder, line string, y float64) {
	var s style
	x := border
	for line != "" {
		text, rest, escape := strings.Cut(line, "\x1b[")
		x = drawRun(out, text, s, x, y)
		if !escape {
			return
		}
		codes, after, _ := strings.Cut(rest, "m")
		s = s.with(codes)
		line = after
	}
}

func drawRun(out *strings.Builder, text string, s style, x, y float64) float64 {
	cells := ansi.StringWidth(text)
	width := float64(cells) * cellWidth
	fill, ground := s.text, s.ground
	if fill == "" {
		fill = foreground
	}
	if s.reverse {
		fill, ground = background, foreground
	}
	if ground != "" && cells > 0 {
		fmt.Fprintf(out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, width+0.3, cellHeight+0.3, ground)
	}
	if strings.TrimSpace(text) != "" {
		weight := ""
		if s.bold {
			weight = ` font-weight="bold"`
		}
		fmt.Fprintf(out, `<text x="%.1f" y="%.1f" fill="%s"%s textLength="%.1f">%s</text>`+"\n", x, y+baseline, fill, weight, width, html.EscapeString(text))
	}
	return x + width
}

// with returns the style after an SGR escape sequence.
func (s style) with(codes string) style {
	parts := strings.Split(codes, ";")
	for i := 0; i < len(parts); i++ {
		switch parts[i] {
		case "", "0":
			s = style{}
		case "1":
			s.bold = true
		case "7":
			s.reverse = true
		case "38", "48":
			if i+4 >= len(parts) || parts[i+1] != "2" {
				continue
			}
			color := hex(parts[i+2 : i+5])
			if parts[i] == "38" {
				s.text = color
			} else {
				s.ground = color
			}
			i += 4
		}
	}
	return s
}

func hex(parts []string) string {
	out := "#"
	for _, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			n = 0
		}
		out += fmt.Sprintf("%02x", byte(n))
	}
	return out
}
