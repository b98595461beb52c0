package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// fault is one way to disturb a member. It ends when do returns, or arena.heal ends
// it.
type fault struct {
	name string
	do   func(ctx context.Context, a *arena, victim int) error
}

// How long a fault lasts: longer than it takes to replace etcd's leader and the
// holder of the lease, which is two and four seconds.
const (
	down    = 3 * time.Second
	asleep  = 5 * time.Second
	cutOff  = 5 * time.Second
	diskFor = 4 * time.Second
)

// blow is a fault and its victim: the leader of etcd or a follower.
type blow struct {
	fault  fault
	leader bool
	// follower selects the follower: 0 or 1.
	follower int
}

// deck deals every kind of fault once before it repeats any, in an order given by
// its seed, and each kind alternately to the leader and to a follower.
type deck struct {
	random *rand.Rand
	deals  int
	left   []blow
}

func newDeck(seed uint64) *deck {
	return &deck{random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // faults, not secrets
}

func (d *deck) next() blow {
	if len(d.left) == 0 {
		for i, f := range faults {
			d.left = append(d.left, blow{fault: f, leader: (d.deals+i)%2 == 0, follower: d.random.IntN(members - 1)})
		}
		d.random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
		d.deals++
	}
	b := d.left[0]
	d.left = d.left[1:]
	return b
}

// victim returns the number of the member for b.
func (a *arena) victim(ctx context.Context, b blow) (int, error) {
	list, err := a.etcd(0).MemberStatus(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the leader: %w", err)
	}
	leader := slices.IndexFunc(a.nodes, func(n nodeconfig.Node) bool {
		return slices.ContainsFunc(list, func(m controlapi.EtcdMember) bool { return m.Leader && m.Name == n.Name })
	})
	switch {
	case leader < 0:
		return 0, errors.New("find the leader: there is none")
	case b.leader:
		return leader, nil
	default:
		return (leader + 1 + b.follower) % members, nil
	}
}

var faults = []fault{
	{"killed", func(ctx context.Context, a *arena, v int) error {
		a.all[v].kill()
		return pause(ctx, down)
	}},
	{"stopped", func(ctx context.Context, a *arena, v int) error {
		a.all[v].signal(syscall.SIGTERM)
		return pause(ctx, down)
	}},
	{"asleep", func(ctx context.Context, a *arena, v int) error {
		a.all[v].signal(syscall.SIGSTOP)
		defer a.all[v].signal(syscall.SIGCONT)
		return pause(ctx, asleep)
	}},
	{"cut off", func(ctx context.Context, _ *arena, v int) (err error) {
		if err := ip("-n " + hub + " link set " + link(v) + " down"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, ip("-n "+hub+" link set "+link(v)+" up")) }()
		return pause(ctx, cutOff)
	}},
	{"out of disk", func(ctx context.Context, a *arena, v int) error {
		filler := filepath.Join(a.all[v].dir, "state", "filler")
		defer os.Remove(filler)
		if err := fill(filler); err != nil {
			return err
		}
		return pause(ctx, diskFor)
	}},
	{"killed with all others", func(ctx context.Context, a *arena, _ int) error {
		for _, m := range a.all {
			m.kill()
		}
		return pause(ctx, time.Second)
	}},
}

// fill uses up the free space of a disk.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("fill a disk: %w", err)
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return fmt.Errorf("fill a disk: %w", err)
		}
	}
}
