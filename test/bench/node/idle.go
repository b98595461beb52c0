package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/skiff-dev/skiff/test/bench/process"
)

// idle is the cost of a node's programs without pods.
type idle struct {
	memory  process.Usage
	percent float64 // of one core
}

// idles measures both nodes at the same time, so that other load on the machine affects
// both.
func (b *bench) idles(ctx context.Context) error {
	if err := pause(ctx, b.settle); err != nil {
		return err
	}
	before := make([]map[string]process.Totals, len(b.sides))
	var err error
	for i, s := range b.sides {
		if before[i], err = b.totals(s); err != nil {
			return err
		}
	}
	begun := time.Now()
	if err := pause(ctx, b.idle); err != nil {
		return err
	}
	for i, s := range b.sides {
		after, err := b.totals(s)
		if err != nil {
			return err
		}
		passed := time.Since(begun).Seconds()
		for _, program := range s.programs {
			percent := 100 * (after[program].CPU - before[i][program].CPU).Seconds() / passed
			memory := after[program].Memory
			fmt.Fprintf(os.Stderr, "%s, idle %s: %.1f MiB resident, %.1f MiB anonymous, %.2f %% of a core\n",
				s.name, program, memory.RSS, memory.Anonymous, percent)
			s.idle.percent += percent
			s.idle.memory.Add(memory)
		}
	}
	return nil
}

// totals returns the usage of each program of a side. All of them must be running.
func (b *bench) totals(s *side) (map[string]process.Totals, error) {
	running, err := b.cluster.programs(s.node)
	if err != nil {
		return nil, err
	}
	all := map[string]process.Totals{}
	for _, program := range s.programs {
		if len(running[program]) == 0 {
			return nil, fmt.Errorf("%s is not running on %s", program, s.node)
		}
		if all[program], err = process.Sum(running[program]); err != nil {
			return nil, err
		}
	}
	return all, nil
}
