package cli

import (
	"strings"
	"testing"
	"unicode"
)

func TestCleanRemovesEscapeSequences(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":                 "plain\ttext\n",
		"größe 🚢 日本":                    "größe 🚢 日本",
		"a\x1b[31mred\x1b[0m":           "ared",
		"\x1b]0;PWNED\aafter":           "after",
		"\x1b]8;;https://x\x1b\\link":   "link",
		"\x1b]0;unfinished\nnext":       "\nnext",
		"\x1bPq\x1b\\x":                 "x",
		"\x1b(Bx\x1bcy":                 "xy",
		"c1 \u009b2Jx \u009d0;t\u009cy": "c1 x y",
		"over\rwrite\b\x00\x7f":         "overwrite",
		"bad \xff\xfe utf8":             "bad  utf8",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("a\x1b[31mred\x1b]0;t\a", 3)
	f.Add("größe", 4)
	f.Fuzz(func(t *testing.T, text string, at int) {
		whole := Clean(text)
		for _, r := range whole {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Fatalf("%q: %U is left in %q", text, r, whole)
			}
		}
		at = max(0, min(at, len(text)))
		var out strings.Builder
		parts := filter{out: &out}
		_, _ = parts.Write([]byte(text[:at]))
		_, _ = parts.Write([]byte(text[at:]))
		if out.String() != whole {
			t.Fatalf("%q cut at %d: %q, want %q", text, at, out.String(), whole)
		}
	})
}
