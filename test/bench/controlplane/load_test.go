package main

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var samples []time.Duration
	for i := 200; i > 0; i-- {
		samples = append(samples, time.Duration(i))
	}
	for _, tt := range []struct {
		samples []time.Duration
		p       int
		want    time.Duration
	}{
		{samples, 50, 100}, {samples, 99, 198}, {samples, 100, 200}, {samples, 0, 1}, {samples[:1], 50, 200},
	} {
		if got := percentile(tt.samples, tt.p); got != tt.want {
			t.Errorf("p%d of %d samples is %d, want %d", tt.p, len(tt.samples), got, tt.want)
		}
	}
}
