package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/offline"
)

const (
	// stallPeriod is how often stalled machines are looked at.
	stallPeriod = 5 * time.Second
	// resumeRoomMiB must be free on the host's disk before machines that it
	// stopped are resumed, lowRoomMiB before users are warned.
	resumeRoomMiB = 256
	lowRoomMiB    = 1024
)

// stalls resumes machines that the host stopped.
type stalls struct{ core }

// freeMiB returns the free space where the machines' disks are.
func (s *stalls) freeMiB() int { return offline.FreeMiB(string(s.dir)) }

// reasons returns why machines stopped by themselves, by name.
func (s *stalls) reasons() map[string]string {
	reasons := map[string]string{}
	for _, name := range s.state.names() {
		if reason := s.machines.stalled(name); reason != "" {
			reasons[name] = reason
		}
	}
	return reasons
}

// run resumes machines that stopped because the host's disk was full, once there is
// room. Their clocks stood still meanwhile.
func (s *stalls) run(ctx context.Context) error {
	ticker := time.NewTicker(stallPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		stalled := s.reasons()
		if len(stalled) == 0 || s.freeMiB() < resumeRoomMiB {
			continue
		}
		for _, n := range s.state.desired() {
			if stalled[n.Name] == driver.StallNoSpace {
				s.resume(ctx, n)
			}
		}
		s.api.balance()
	}
}

func (s *stalls) resume(ctx context.Context, n cluster.Node) {
	if err := s.machines.driver.Resume(ctx, n.Name); err != nil {
		s.log.Warn("cannot resume a machine that stopped because of a full disk", "machine", n.Name, "error", err)
		return
	}
	s.log.Info("resumed a machine that stopped because of a full disk", "machine", n.Name)
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	if err := s.nodes.client(n).SetClock(ctx); err != nil {
		s.log.Warn("cannot set a node's clock", "node", n.Name, "error", err)
	}
}

// diskProblems returns one line for users for each machine that stopped because
// of the host's disk, or one if the disk is nearly full.
func diskProblems(stalled map[string]string, freeMiB int, dir string) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(stalled)) {
		if stalled[name] == driver.StallNoSpace {
			lines = append(lines, fmt.Sprintf("%s is halted: %s. Free at least %d MiB where %s is (%d MiB are free); it then continues by itself.",
				name, stalled[name], resumeRoomMiB, dir, freeMiB))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s is halted: %s. Check the disk where %s is, then run \"skiff resume\".", name, stalled[name], dir))
	}
	if len(lines) == 0 && freeMiB < lowRoomMiB {
		lines = append(lines, fmt.Sprintf("Only %d MiB are free where %s is: machines stop when the disk is full.", freeMiB, dir))
	}
	return lines
}
