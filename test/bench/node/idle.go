package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/skiff-dev/skiff/test/bench/process"
)

// idle is what a node's programs cost without pods.
type idle struct {
	memory  process.Usage
	percent float64 // of one core
}

// idles watches both nodes in the same time, so that what else the machine does
// falls on both.
func (b *bench) idles(ctx context.Context) error {
	if err := pause(ctx, b.settle); err != nil {
		return err
	}
	before := make([]process.Totals, len(b.sides))
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
		s.idle = idle{memory: after.Memory, percent: 100 * (after.CPU - before[i].CPU).Seconds() / time.Since(begun).Seconds()}
		fmt.Fprintf(os.Stderr, "%s: idle with %.0f MiB resident, %.0f MiB anonymous, %.2f %% of a core\n",
			s.name, s.idle.memory.RSS, s.idle.memory.Anonymous, s.idle.percent)
	}
	return nil
}

// totals sums up the programs of a side, each of which runs.
func (b *bench) totals(s *side) (process.Totals, error) {
	running, err := b.cluster.programs(s.node)
	if err != nil {
		return process.Totals{}, err
	}
	var pids []int
	for _, program := range s.programs {
		if len(running[program]) == 0 {
			return process.Totals{}, fmt.Errorf("%s does not run on %s", program, s.node)
		}
		pids = append(pids, running[program]...)
	}
	return process.Sum(pids)
}
