package peers

import (
	"net/netip"
	"sync"
)

// rangeOfPeers are the addresses under which machines reach other clusters. It is part of
// the block for benchmarks of network devices (RFC 2544), which no network uses.
var rangeOfPeers = netip.MustParsePrefix("198.19.0.0/16")

// Range returns the addresses that stand for other clusters.
func Range() netip.Prefix { return rangeOfPeers }

// maxTargets bounds how many targets have an address.
const maxTargets = 4096

// table gives targets addresses. A target keeps its address as long as the process
// lives, unless more than maxTargets came later.
type table struct {
	mu       sync.Mutex // guards what follows
	next     int
	byTarget map[target]netip.Addr
	byNumber [maxTargets]target
}

// address returns the address of a target.
func (t *table) address(of target) netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, ok := t.byTarget[of]; ok {
		return at
	}
	if t.byTarget == nil {
		t.byTarget = map[target]netip.Addr{}
	}
	number := t.next
	t.next = (t.next + 1) % maxTargets
	delete(t.byTarget, t.byNumber[number])
	at := numbered(number)
	t.byNumber[number], t.byTarget[of] = of, at
	return at
}

// target returns what has an address.
func (t *table) target(at netip.Addr) (target, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !at.Is4() || !rangeOfPeers.Contains(at) {
		return target{}, false
	}
	b := at.As4()
	number := (int(b[2])<<8 | int(b[3])) - 1
	if number < 0 || number >= maxTargets || t.byNumber[number] == (target{}) {
		return target{}, false
	}
	return t.byNumber[number], true
}

// numbered returns the address with a number, the first of which is 198.19.0.1.
func numbered(number int) netip.Addr {
	b := rangeOfPeers.Addr().As4()
	b[2], b[3] = byte((number+1)>>8), byte(number+1)
	return netip.AddrFrom4(b)
}
