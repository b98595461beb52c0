package fleet

import (
	"context"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// clockPeriod is how often the nodes' clocks are compared with the host's. They
// drift by a few parts in a million, more under emulation.
const clockPeriod = 10 * time.Minute

// maxDrift is how far a node's clock may be from the host's.
const maxDrift = time.Second

// keepClocks corrects the clocks of running nodes until ctx ends. There is no NTP
// client in a node, which may have no way to a server.
func (s *nodes) keepClocks(ctx context.Context) error {
	for {
		if pause.For(ctx, clockPeriod) != nil {
			return nil
		}
		s.correctClocks(ctx)
	}
}

// correctClocks sets the clocks that have drifted too far.
func (s *nodes) correctClocks(ctx context.Context) {
	s.each(ctx, func(n cluster.Node) {
		sent := time.Now()
		status, err := s.client(n).Status(ctx)
		if err != nil || !drifted(status.Time, sent, time.Now()) {
			return // a node that does not answer is not the concern of its clock
		}
		if _, faulty := s.active.on(n.Name, daemonapi.FaultClock); faulty {
			return
		}
		s.log.Info("a node's clock has drifted; setting it", "node", n.Name, "by", time.Since(status.Time))
		if err := s.client(n).SetClock(ctx); err != nil {
			s.log.Warn("cannot set a node's clock", "node", n.Name, "error", err)
		}
	})
}

// drifted reports whether a time that a node read between sent and received is
// more than maxDrift away from that interval.
func drifted(read, sent, received time.Time) bool {
	return !read.IsZero() && (read.Before(sent.Add(-maxDrift)) || read.After(received.Add(maxDrift)))
}

// setClocks gives all running nodes the host's time, unless a fault asks for another.
func (s *nodes) setClocks(ctx context.Context) {
	s.each(ctx, func(n cluster.Node) {
		if err := s.client(n).SetClockWrong(ctx, s.active.ahead(n.Name)); err != nil {
			s.log.Warn("cannot set a node's clock", "node", n.Name, "error", err)
		}
	})
}
