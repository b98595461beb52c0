package simulator

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestRepeatedEntriesOfKwokDoNotFillTheLog(t *testing.T) {
	var text bytes.Buffer
	l := newLines(slog.New(slog.NewTextHandler(&text, nil)))
	for range 1000 {
		if n, err := l.Write([]byte("refused")); n != len("refused") || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if n := strings.Count(text.String(), "refused"); n < 1 || n > 50 {
		t.Errorf("%d of 1,000 entries were written", n)
	}
}

func TestNodesAndPodsHaveTheirStages(t *testing.T) {
	all, err := stages()
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for of, stages := range all {
		count[of.Kind] = len(stages)
	}
	if count["Node"] != 2 || count["Pod"] != 3 {
		t.Errorf("stages %v", count)
	}
}
