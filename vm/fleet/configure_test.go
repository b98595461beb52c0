package fleet

import (
	"strings"
	"testing"
)

func TestOfANodesWordsOnlyThoseOfTheProgramArePrinted(t *testing.T) {
	for output, want := range map[string]string{
		"I1129 started\nskiff-controlplane: build the scheduler:\n  NoSuchPlugin\n": "build the scheduler: NoSuchPlugin",
		"skiff-controlplane: before\nI1129 again\nskiff-controlplane: the last\n":   "the last",
		"skiff-controlplane: \x1b[31mred\x1b[0m \x00and\tspaced\u202e":              "[31mred[0m and spaced",
		"panic: runtime error":                  "panic: runtime error",
		"":                                      "",
		strings.Repeat("ä", maxMessage):         strings.Repeat("ä", maxMessage/2) + "…",
		"a line with skiff-controlplane: in it": "a line with skiff-controlplane: in it",
	} {
		if got := ownWords(output, programControlPlane); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}
