package filter

import (
	"regexp"
	"testing"
)

func TestFiltersMatchRows(t *testing.T) {
	cells := []string{"web-7d9c", "Running", "worker-1"}
	set := map[string]string{"app": "web"}
	for text, want := range map[string]bool{
		"": true, "web": true, "WEB": true, "^run": true, "worker-[12]$": true, "db": false, "!db": true, "!web": false,
		"-l app=web": true, "-l app!=web": false, "-lapp in (web,db)": true, "-l tier": false,
		"-f w7c": true, "-f zzz": false, "!-f zzz": true, "!": true, "-f": true, "-l": true,
		"(": false, "web(": false,
	} {
		if got := Parse(text).Match(cells, set); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestAnInvalidRegularExpressionIsMatchedLiterally(t *testing.T) {
	f := Parse("a(b")
	if f.Problem() == "" || !f.Match([]string{"xa(bx"}, nil) {
		t.Errorf("%+v", f)
	}
	if f := Parse("-l ="); f.Problem() == "" {
		t.Error("an invalid selector has no problem")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"web", "!(", "-l a in (b)", "-f xyz", "\x00", "\xd8"} {
		f.Add(s, "cell")
	}
	f.Fuzz(func(t *testing.T, text, cell string) {
		parsed := Parse(text)
		parsed.Match([]string{cell}, map[string]string{"a": cell})
		if p := parsed.Pattern(); p != nil {
			if _, err := regexp.Compile(p.String()); err != nil {
				t.Error(err)
			}
		}
	})
}
