package lima

import (
	"sync"
	"time"
)

// readTSC returns the time stamp counter of this CPU.
func readTSC() uint64

// tscKHz returns how fast the time stamp counter of this host counts, in kHz, which is that
// of an emulated machine as well. A guest would measure it at boot against other clocks,
// and get it wrong by any factor if the host lets it wait in between: its clock then runs
// as much too fast or too slow.
var tscKHz = sync.OnceValue(func() uint64 {
	const span = 20 * time.Millisecond
	before, begun := sampleTSC()
	time.Sleep(span)
	after, ended := sampleTSC()
	return (after - before) * uint64(time.Millisecond) / uint64(ended.Sub(begun))
})

// sampleTSC reads the counter and the time. Of several attempts it takes the shortest, in
// which nothing came between.
func sampleTSC() (ticks uint64, at time.Time) {
	shortest := time.Hour
	for range 20 {
		before := time.Now()
		now := readTSC()
		if took := time.Since(before); took < shortest {
			shortest, ticks, at = took, now, before.Add(took/2)
		}
	}
	return ticks, at
}
