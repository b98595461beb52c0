package web

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// maxAttempts is how many endpoints one request tries.
const maxAttempts = 3

// balance is an http.RoundTripper that sends each request to the next endpoint of its
// backend. An endpoint that does not accept the connection is passed over.
type balance struct {
	transports map[route.Protocol]http.RoundTripper
	seed       maphash.Seed
	next       atomic.Uint64
}

// RoundTrip implements http.RoundTripper.
func (b *balance) RoundTrip(r *http.Request) (*http.Response, error) {
	f := forwardedOf(r.Context())
	transport := b.transports[f.backend.Protocol]
	if transport == nil {
		return nil, fmt.Errorf("no transport for %q", f.backend.Protocol)
	}
	err := errors.New("no endpoints")
	for _, address := range order(f.backend, b.first(f), b.next.Add(1)) {
		var response *http.Response
		attempt, target := *r, *r.URL
		target.Host = address
		attempt.URL = &target
		if r.Body != nil {
			attempt.Body = &attemptBody{body: r.Body, from: f.body}
		}
		response, err = transport.RoundTrip(&attempt)
		var dial dialError
		if err == nil || !errors.As(err, &dial) || r.Context().Err() != nil {
			return response, err
		}
	}
	return nil, err
}

// attemptBody is the body of a request for one attempt. Closing it leaves the request's
// body open for the next attempt if nothing was read from it. Otherwise closing it ends a
// read that waits for the client; without that, a bidirectional stream outlives its
// backend until the client sends something.
type attemptBody struct {
	body io.Reader
	from io.Closer // see forwarded.body
	read atomic.Bool
}

// Read implements io.Reader.
func (b *attemptBody) Read(into []byte) (int, error) {
	b.read.Store(true)
	return b.body.Read(into)
}

// Close implements io.Closer.
func (b *attemptBody) Close() error {
	if b.from == nil || !b.read.Load() {
		return nil
	}
	return b.from.Close()
}

// first returns the index of the endpoint that belongs to a client, -1 if the backend
// is not sticky. It changes only for clients of an endpoint that is removed
// (rendezvous hashing).
func (b *balance) first(f forwarded) int {
	if !f.backend.Sticky {
		return -1
	}
	best, bestSum := -1, uint64(0)
	for i, endpoint := range f.backend.Endpoints {
		if sum := maphash.String(b.seed, f.client+" "+endpoint); best < 0 || sum > bestSum {
			best, bestSum = i, sum
		}
	}
	return best
}

// order returns the endpoints that a request tries, at most maxAttempts: those from
// first, or from the n-th in turn if that is negative.
func order(b route.Backend, first int, n uint64) []string {
	count := len(b.Endpoints)
	if first < 0 && count > 0 {
		first = int(n % uint64(count))
	}
	var all []string
	for i := range min(count, maxAttempts) {
		all = append(all, b.Endpoints[(first+i)%count])
	}
	return all
}
