package main

import "testing"

func TestEveryFaultIsDealtBeforeAnyComesAgain(t *testing.T) {
	d := newDeck(7)
	struck := map[string]map[bool]bool{}
	for range 2 {
		seen := map[string]bool{}
		for range faults {
			b := d.next()
			if seen[b.fault.name] {
				t.Errorf("%s came twice before others came once", b.fault.name)
			}
			seen[b.fault.name] = true
			if struck[b.fault.name] == nil {
				struck[b.fault.name] = map[bool]bool{}
			}
			struck[b.fault.name][b.leader] = true
		}
	}
	for name, victims := range struck {
		if len(victims) != 2 {
			t.Errorf("two deals did not bring %q to a leader and to a follower", name)
		}
	}
}

func TestTheSameSeedDealsTheSameFaults(t *testing.T) {
	a, b := newDeck(11), newDeck(11)
	for i := range 3 * len(faults) {
		x, y := a.next(), b.next()
		if x.fault.name != y.fault.name || x.leader != y.leader || x.follower != y.follower {
			t.Fatalf("round %d: %s and %s", i+1, x.fault.name, y.fault.name)
		}
	}
}
