package widget

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/theme"
)

func TestOnlyColoursReachTheTerminal(t *testing.T) {
	painted := theme.Named("harbor").Paint(theme.Bad, "grün ✓") + "\x1b[7m \x1b[m"
	if got := Safe(painted, 10); got != painted {
		t.Errorf("colours: %q", got)
	}
	for text, want := range map[string]string{
		"a\x1b]52;c;Zm9v\x07b": "ab", "a\x1b[2Jb": "ab", "a\x1b[6nb": "ab", "a\rb\n": "ab", "a\u009b2Jb": "a2Jb", "a\x1bPq\x1b\\b": "ab", "a\x1b[1": "a", "\x1b": "",
	} {
		if got := Safe(text, 5); strings.TrimRight(got, " ") != want || ansi.StringWidth(got) != 5 {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("a\x1b[31mb\x1b[m\x1b[2J", 10)
	f.Fuzz(func(t *testing.T, text string, width int) {
		if got := Safe(text, max(1, min(width, 200))); !onlyColours(got) {
			t.Errorf("%q", got)
		}
	})
}
