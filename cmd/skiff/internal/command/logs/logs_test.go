package logs

import (
	"strings"
	"testing"
)

func TestLinesOfSeveralLogsDoNotMix(t *testing.T) {
	var out strings.Builder
	w := &lineWriter{to: &out}
	long := strings.Repeat("x", 100_000)
	if err := w.copy(strings.NewReader("a\nb"), "n1 | "); err != nil {
		t.Fatal(err)
	}
	if err := w.copy(strings.NewReader(long), ""); err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(out.String(), "\n", "/"); !strings.HasPrefix(got, "n1 | a/n1 | b/xxx") || strings.Count(got, "x") != len(long) {
		t.Errorf("got %.60s", got)
	}
}
