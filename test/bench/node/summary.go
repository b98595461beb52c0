package main

import (
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/test/bench/figure"
)

// summary compares the two sides. Where the project has no goal of its own, the goal is
// to need no more than upstream.
func (b *bench) summary() []figure.Figure {
	ours, theirs := b.sides[0], b.sides[1]
	var figures []figure.Figure
	add := func(part, name, unit string, goal float64, value func(*side) float64) {
		if !b.wanted(part) {
			return
		}
		if goal == 0 {
			goal = value(theirs)
		}
		figures = append(figures, figure.New(name, unit, value(ours), goal).Against(value(theirs)))
	}
	at := func(samples func(*side) []time.Duration, q float64) func(*side) float64 {
		return func(s *side) float64 { return quantile(samples(s), q).Seconds() }
	}
	add("idle", "resident memory, no pods", "MiB", goalResidentMiB, func(s *side) float64 { return s.idle.memory.RSS })
	add("idle", "anonymous memory, no pods", "MiB", 0, func(s *side) float64 { return s.idle.memory.Anonymous })
	add("idle", "proportional memory, no pods", "MiB", 0, func(s *side) float64 { return s.idle.memory.PSS })
	add("dns", "resident memory with cluster DNS", "MiB", 0, func(s *side) float64 { return s.withDNS })
	add("idle", "idle CPU of one core, no pods", "%", goalIdlePercent, func(s *side) float64 { return s.idle.percent })
	start := func(s *side) []time.Duration { return s.start }
	add("pods", "pod created to Ready, p50", "s", goalReadySeconds, at(start, 0.5))
	add("pods", "pod created to Ready, p99", "s", 0, at(start, 0.99))
	for _, row := range []struct {
		part, name string
		samples    func(*side) []time.Duration
	}{
		{"burst", fmt.Sprintf("%d pods at once to Ready", b.burst), func(s *side) []time.Duration { return s.burst }},
		{"pods", "pod deleted to gone", func(s *side) []time.Duration { return s.deletion }},
		{"services", "service created to reachable", func(s *side) []time.Duration { return s.service }},
		{"dns", fmt.Sprintf("DNS query, %d at once", askers), func(s *side) []time.Duration { return s.dns.took }},
	} {
		add(row.part, row.name+", p50", "s", 0, at(row.samples, 0.5))
		add(row.part, row.name+", p99", "s", 0, at(row.samples, 0.99))
	}
	if !b.wanted("dns") {
		return figures
	}
	// More is better here: a ratio above one is better than upstream.
	return append(figures, figure.New("DNS queries per second (more is better)", "1/s", ours.dns.perSecond(), 0).Against(theirs.dns.perSecond()))
}
