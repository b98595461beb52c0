package widget

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Safe returns a painted line that only changes colours. Text from nodes, pods
// and servers may contain other escape sequences, which could write to the
// clipboard, answer queries or corrupt the screen. A line with any of them is
// returned without control characters, in width cells.
func Safe(line string, width int) string {
	if onlyColours(line) {
		return line
	}
	line = strings.ToValidUTF8(line, string(unicode.ReplacementChar))
	plain := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, ansi.Strip(line))
	return Fit(plain, width)
}

// onlyColours reports whether a line is valid UTF-8 whose control characters all
// belong to SGR sequences, "ESC [ parameters m".
func onlyColours(line string) bool {
	if !utf8.ValidString(line) {
		return false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\x1b':
			end := strings.IndexByte(line[i:], 'm')
			if end < 2 || line[i+1] != '[' || strings.Trim(line[i+2:i+end], "0123456789;") != "" {
				return false
			}
			i += end
		case c < ' ' || c == 0x7f, c == 0xc2 && i+1 < len(line) && line[i+1] < 0xa0:
			return false // a C0 or C1 control character
		}
	}
	return true
}
