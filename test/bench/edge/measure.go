package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skiff-dev/skiff/test/bench/process"
)

// parallel is how many requests are under way at once.
const parallel = 8

// path is one way to the Service.
type path struct {
	name   string
	url    string
	client *http.Client
	goal   bool // whether it must be nearly as fast as the direct path
}

// result is what was measured of a path.
type result struct {
	transfer, p99, connections time.Duration
	cpu                        time.Duration // of the daemon during the transfer
}

func (b *bench) measure(ctx context.Context, p path) (r result, err error) {
	before, err := process.CPU(b.daemon)
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := p.get(ctx, fmt.Sprintf("/mib/%d", b.megabytes)); err != nil {
		return r, err
	}
	r.transfer = time.Since(start)
	after, err := process.CPU(b.daemon)
	if err != nil {
		return r, err
	}
	r.cpu = after - before
	times, _, err := p.repeat(ctx, b.requests)
	if err != nil {
		return r, err
	}
	slices.Sort(times)
	r.p99 = times[len(times)*99/100]
	// Every request has a connection of its own.
	alone := p
	transport := p.client.Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	alone.client = &http.Client{Transport: transport}
	_, r.connections, err = alone.repeat(ctx, b.requests)
	return r, err
}

// repeat sends n requests and returns how long each took, and all.
func (p path) repeat(ctx context.Context, n int) (times []time.Duration, all time.Duration, err error) {
	times = make([]time.Duration, n)
	var next atomic.Int64
	failures := make(chan error, parallel)
	var workers sync.WaitGroup
	start := time.Now()
	for range parallel {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				began := time.Now()
				if err := p.get(ctx, "/"); err != nil {
					failures <- err
					return
				}
				times[i] = time.Since(began)
			}
		})
	}
	workers.Wait()
	all = time.Since(start)
	select {
	case err = <-failures:
	default:
	}
	return times, all, err
}

// get reads the answer to a request to its end.
func (p path) get(ctx context.Context, at string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+at, nil)
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", request.URL, response.Status)
	}
	return err
}
