package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Time limits of an attempt while other addresses are left, and of the last attempt.
// An address that did not answer is tried last for the duration of suspicion.
const (
	dialAttempt = 2 * time.Second
	dialLast    = 5 * time.Second
	suspicion   = 10 * time.Second
)

var errNoEndpoint = errors.New("no address in the cluster")

// dialer connects to targets.
type dialer struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	resolve func(ctx context.Context, namespace, name string) (netip.Addr, error)

	mu       sync.Mutex // guards what follows
	turn     uint
	suspects map[netip.Addr]time.Time // when they did not answer
}

// connect connects to the first address of the target that answers.
func (d *dialer) connect(ctx context.Context, network string, target Target) (net.Conn, netip.Addr, error) {
	addresses, err := d.addresses(ctx, target)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	failed := errNoEndpoint
	for i, at := range addresses {
		limit := dialAttempt
		if i == len(addresses)-1 {
			limit = dialLast
		}
		attempt, cancel := context.WithTimeout(ctx, limit)
		conn, err := d.dial(attempt, network, at.String())
		cancel()
		if err == nil {
			return conn, at.Addr(), nil
		}
		if ctx.Err() != nil {
			return nil, netip.Addr{}, ctx.Err()
		}
		failed = err
		d.suspect(at.Addr(), time.Now())
	}
	return nil, netip.Addr{}, failed
}

// addresses returns the addresses of a target in the order of the attempts.
func (d *dialer) addresses(ctx context.Context, target Target) ([]netip.AddrPort, error) {
	if target.Pod.Name == "" {
		return d.order(target, time.Now()), nil
	}
	address, err := d.resolve(ctx, target.Pod.Namespace, target.Pod.Name)
	if err != nil {
		return nil, fmt.Errorf("find pod %s: %w", target.Pod, err)
	}
	return []netip.AddrPort{netip.AddrPortFrom(address, target.PodPort)}, nil
}

func (d *dialer) order(target Target, now time.Time) []netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(target.Addresses) == 0 {
		return nil
	}
	first := 0
	if target.Spread {
		d.turn++
		first = int(d.turn % uint(len(target.Addresses)))
	}
	var good, last []netip.AddrPort
	for i := range target.Addresses {
		at := target.Addresses[(first+i)%len(target.Addresses)]
		if now.Sub(d.suspects[at.Addr()]) < suspicion {
			last = append(last, at)
		} else {
			good = append(good, at)
		}
	}
	return append(good, last...)
}

func (d *dialer) suspect(address netip.Addr, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.suspects == nil || len(d.suspects) > 1000 {
		d.suspects = map[netip.Addr]time.Time{}
	}
	d.suspects[address] = now
}

// flows are the open connections and UDP flows by the address in the cluster.
type flows struct {
	mu  sync.Mutex // guards all
	all map[netip.Addr]map[io.Closer]struct{}
}

// add registers a flow until remove is called.
func (f *flows) add(at netip.Addr, flow io.Closer) (remove func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[netip.Addr]map[io.Closer]struct{}{}
	}
	if f.all[at] == nil {
		f.all[at] = map[io.Closer]struct{}{}
	}
	f.all[at][flow] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if delete(f.all[at], flow); len(f.all[at]) == 0 {
			delete(f.all, at)
		}
	}
}

// end closes the flows to addresses that lost contains.
func (f *flows) end(lost []netip.Prefix) {
	f.mu.Lock()
	var ended []io.Closer
	for at, flows := range f.all {
		for _, prefix := range lost {
			if prefix.Contains(at) {
				for flow := range flows {
					ended = append(ended, flow)
				}
				break
			}
		}
	}
	f.mu.Unlock()
	for _, flow := range ended {
		_ = flow.Close()
	}
}
