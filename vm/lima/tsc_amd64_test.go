package lima

import (
	"math"
	"testing"
	"time"
)

// TestTheTSCIsMeasuredExactly compares the result with a longer measurement.
func TestTheTSCIsMeasuredExactly(t *testing.T) {
	before, begun := sampleTSC()
	time.Sleep(300 * time.Millisecond)
	after, ended := sampleTSC()
	want := float64(after-before) / (ended.Sub(begun).Seconds() * 1000)
	if got := float64(tscKHz()); math.Abs(got-want) > want/1000 {
		t.Errorf("%.0f kHz, over a longer time %.0f", got, want)
	}
}
