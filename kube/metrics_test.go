package kube

import (
	"testing"
)

func TestMetricParsesSamples(t *testing.T) {
	for text, want := range map[string]float64{`a{b="c d"} 12`: 12, "a 1e3": 1000, "a{b=\"}\"} 2": 2} {
		if name, got, ok := metric(text); !ok || name != "a" || got != want {
			t.Errorf("%s: %s %v %t", text, name, got, ok)
		}
	}
	for _, text := range []string{"", "# HELP a", "a", "a{", "a b", "{ 1"} {
		if name, _, ok := metric(text); ok && name != "" {
			t.Errorf("%q was parsed as %q", text, name)
		}
	}
}

func FuzzMetric(f *testing.F) {
	f.Add(`a{b="c"} 1`)
	f.Fuzz(func(_ *testing.T, text string) { metric(text); checks(text) })
}
