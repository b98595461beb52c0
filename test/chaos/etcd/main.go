// Command etcd injects faults into three control planes, round after round, while
// clients write, read and watch through their API. It then checks the whole history:
// reads and writes are linearizable, no acknowledged write is lost, no watch has a
// gap. Finally it restores snapshots while members are killed. The members are real
// processes in network namespaces of their own, without machines.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	program string
	rounds  int
	seed    uint64
	clients int
	keep    string
}

func main() {
	var o options
	flag.StringVar(&o.program, "program", "skiff-controlplane", "the control plane")
	flag.IntVar(&o.rounds, "rounds", 20, "number of faults, one after another")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed for the choice of faults")
	flag.IntVar(&o.clients, "clients", 6, "number of clients that write and read")
	flag.StringVar(&o.keep, "keep", "", "directory for logs and data, which is kept; empty for a temporary one")
	inside := flag.Bool("inside", false, "set for the process in the clients' namespace")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *inside {
		err = run(ctx, o)
	} else {
		err = enter(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos etcd:", err)
		os.Exit(1)
	}
}

// Limits. They allow for a busy machine.
const (
	readyLimit = 3 * time.Minute
	calm       = time.Second
)

func run(ctx context.Context, o options) (err error) {
	a, err := newArena(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	if err := a.startAll(ctx); err != nil {
		return err
	}
	h := newHistory()
	work, end := context.WithCancel(ctx)
	defer end()
	clients, err := a.clients(work, o.clients, h)
	if err != nil {
		return err
	}
	fmt.Printf("seed %d\n", o.seed)
	if err := a.strike(ctx, h); err != nil {
		return err
	}
	end()
	clients.Wait()
	if err := a.heal(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	final, err := a.readAll(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	if err := h.check(os.Stdout, final); err != nil {
		return err
	}
	return a.restoreAll(context.WithoutCancel(ctx), final)
}

// strike injects faults until all rounds are over or interrupted ends. It completes
// a round that has begun, so that the history until then can be checked.
func (a *arena) strike(interrupted context.Context, h *history) error {
	ctx := context.WithoutCancel(interrupted)
	longest := map[string]time.Duration{}
	deck := newDeck(a.options.seed)
	for round := 1; round <= a.options.rounds && pause(interrupted, calm) == nil; round++ {
		b := deck.next()
		// A process that lost its lease in the previous round ends once it is not needed
		// for the majority.
		if err := a.heal(ctx); err != nil {
			return fmt.Errorf("before round %d: %w", round, err)
		}
		victim, err := a.victim(ctx, b)
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		h.takeOutage()
		began := time.Now()
		if err := b.fault.do(ctx, a, victim); err != nil {
			return fmt.Errorf("round %d, %s: %w", round, b.fault.name, err)
		}
		ended := !a.all[victim].runs()
		if err := a.heal(ctx); err != nil {
			return fmt.Errorf("round %d, after %s on member %d: %w", round, b.fault.name, victim+1, err)
		}
		outage := h.takeOutage()
		longest[b.fault.name] = max(longest[b.fault.name], outage)
		fmt.Printf("round %d: %s, member %d, %s%s; whole again after %.1f s, at most %.1f s without a write\n",
			round, b.fault.name, victim+1, map[bool]string{true: "a leader", false: "a follower"}[b.leader],
			map[bool]string{true: " and ended", false: ""}[ended], time.Since(began).Seconds(), outage.Seconds())
	}
	for _, f := range faults {
		if outage, ok := longest[f.name]; ok {
			fmt.Printf("%s: at most %.1f s without a write\n", f.name, outage.Seconds())
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
