package network

import (
	"errors"
	"io"
	"net/netip"
	"sync"
	"syscall"
)

// Bounds of what one machine may have under way to the outside.
const (
	maxFlows = 2048 // connections and UDP flows
	maxDials = 256  // connections that are not established yet
	minFlows = 64   // what every machine gets however few descriptors there are
	// reservedFiles is how many descriptors the process keeps for everything else.
	reservedFiles = 256
	// machineShare is the part of all descriptors that one machine may use.
	machineShare = 4
)

// flowLimit is how many flows one machine may have when the process may open
// that many files.
func flowLimit(files uint64) int {
	if files <= reservedFiles {
		return minFlows
	}
	return int(min(max((files-reservedFiles)/machineShare, minFlows), maxFlows))
}

// fileLimit returns how many files the process may open.
func fileLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return reservedFiles
	}
	return uint64(limit.Cur)
}

// quota counts what each machine uses of something limited. The zero value
// allows nothing.
type quota struct {
	limit int

	mu   sync.Mutex // guards used
	used map[netip.Addr]int
}

// take reports whether the machine may use one more, and counts it if so.
func (q *quota) take(machine netip.Addr) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used[machine] >= q.limit {
		return false
	}
	if q.used == nil {
		q.used = map[netip.Addr]int{}
	}
	q.used[machine]++
	return true
}

// give returns what take counted.
func (q *quota) give(machine netip.Addr) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used[machine]--; q.used[machine] <= 0 {
		delete(q.used, machine)
	}
}

// openFlows are the flows that have to end with the network.
type openFlows struct {
	mu    sync.Mutex // guards what follows
	all   map[io.Closer]struct{}
	ended bool
	tasks sync.WaitGroup
}

var errEnded = errors.New("the network has ended")

// begin registers a flow; done must be called once it has ended.
func (o *openFlows) begin(flow io.Closer) (done func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return nil, errEnded
	}
	if o.all == nil {
		o.all = map[io.Closer]struct{}{}
	}
	o.all[flow] = struct{}{}
	o.tasks.Add(1)
	return func() {
		o.mu.Lock()
		delete(o.all, flow)
		o.mu.Unlock()
		o.tasks.Done()
	}, nil
}

// end closes all flows, waits for them, and refuses further ones.
func (o *openFlows) end() {
	o.mu.Lock()
	o.ended = true
	for flow := range o.all {
		_ = flow.Close()
	}
	o.mu.Unlock()
	o.tasks.Wait()
}
