package etcd

import (
	"context"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
)

const (
	// leaderPoll is how often a member is asked for its leader.
	leaderPoll = 200 * time.Millisecond
	// lostElections is how many election timeouts must pass without a leader before
	// the majority counts as lost.
	lostElections = 3
)

// AwaitLoss returns nil once the member has had no leader for several election
// timeouts: without a majority of the members nothing can be read or written. It
// returns an error if ctx ends before that.
func (m *Member) AwaitLoss(ctx context.Context) error {
	patience := lostElections * time.Duration(m.etcd.Config().ElectionMs) * time.Millisecond
	for led := time.Now(); time.Since(led) < patience; {
		if err := pause.For(ctx, leaderPoll); err != nil {
			return err
		}
		if m.etcd.Server.Leader() != 0 {
			led = time.Now()
		}
	}
	return nil
}
