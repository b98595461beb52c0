package controllers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/internal/pause"
)

// How a standstill is noticed: this process has not run for a while, because its sandbox
// was paused. In a VM, whose clock stands still as well, there is none.
const (
	// tickPeriod is how often the process notes that it runs, and maxGap how far apart two
	// notes may be.
	tickPeriod, maxGap = 5 * time.Second, 15 * time.Second
	// grace is how long kubelets have after a standstill to renew their leases.
	grace = 15 * time.Second
)

// nodeController is the name of upstream's controller that judges nodes by their leases.
const nodeController = "node-controller"

// errStandstill is the answer to a judgment that would count a standstill as the nodes'
// silence.
var errStandstill = errors.New("the control plane stood still: nodes have not had the time to renew their leases")

// standstill knows when this process did not run.
type standstill struct {
	mu    sync.Mutex // guards what follows
	last  time.Time  // when it last ran for certain
	ended time.Time  // when it began to run again
}

// tick notes that the process runs at the time now.
func (s *standstill) tick(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && now.Sub(s.last) > maxGap {
		s.ended = now
	}
	s.last = now
}

// recent reports whether the process stood still until shortly before the time now.
func (s *standstill) recent(now time.Time) bool {
	s.tick(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended.IsZero() && now.Sub(s.ended) < grace
}

// run notes that the process runs until ctx ends.
func (s *standstill) run(ctx context.Context) {
	for {
		s.tick(time.Now())
		if pause.For(ctx, tickPeriod) != nil {
			return
		}
	}
}

// guard returns the configuration of a controller's client. Shortly after a standstill it
// refuses to write statuses of nodes and pods: the controller would report nodes as unknown
// although their kubelets renew the leases at the same moment, and the pods of a node as not
// ready whose kubelet has not yet asked the container runtime again. The controller tries
// again five seconds later.
func (s *standstill) guard(name string, config *rest.Config) *rest.Config {
	if name == nodeController {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return judge{next, s} })
	}
	return config
}

// judge sends the requests of the controller that judges nodes.
type judge struct {
	next       http.RoundTripper
	standstill *standstill
}

// RoundTrip implements http.RoundTripper.
func (j judge) RoundTrip(r *http.Request) (*http.Response, error) {
	if isStatus(r) && j.standstill.recent(time.Now()) {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errStandstill
	}
	return j.next.RoundTrip(r)
}

// isStatus reports whether a request changes the status of a node or a pod.
func isStatus(r *http.Request) bool {
	object, ok := strings.CutSuffix(r.URL.Path, "/status")
	return ok && r.Method != http.MethodGet && (strings.HasPrefix(object, "/api/v1/nodes/") || strings.Contains(object, "/pods/"))
}
