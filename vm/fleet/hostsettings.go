package fleet

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// How often the host's settings are looked at, and how soon a node that did not
// take them over is told again.
const (
	hostPeriod = 2 * time.Second
	hostRetry  = 10 * time.Second
)

// hostSettings lets running nodes follow the settings that they take over from the
// host. A machine that starts gets them in its document.
type hostSettings struct {
	core
	renewals *renewals

	mu   sync.Mutex // held while nodes are told; guards what follows
	told told
	// mixed is true if some nodes may have something else, because not all of them
	// took over a change.
	mixed bool
}

// told is what all running nodes have.
type told struct {
	host nodeconfig.Host
	// names are those in the certificates of the API servers that may change.
	names []string
}

func newHostSettings(c core, renewals *renewals) *hostSettings {
	h := &hostSettings{core: c, renewals: renewals}
	h.told = h.current()
	return h
}

// doubt lets all running nodes be told: one of them may have what was current when its
// memory was saved.
func (h *hostSettings) doubt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mixed = true
}

// current returns what the nodes should have.
func (h *hostSettings) current() told {
	return told{h.documents.host(), cluster.APIServerNames(h.state.spec())}
}

// run tells the nodes about changes until ctx ends.
func (h *hostSettings) run(ctx context.Context) error {
	for wait := hostPeriod; pause.For(ctx, wait) == nil; {
		wait = hostPeriod
		if !h.follow(ctx) {
			wait = hostRetry
		}
	}
	return nil
}

// follow tells the nodes about a change, and reports whether all of them follow it.
func (h *hostSettings) follow(ctx context.Context) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.current()
	if !h.mixed && reflect.DeepEqual(now, h.told) || h.frozen(ctx) {
		return true
	}
	if !h.tell(ctx, now) {
		h.mixed = true
		return false
	}
	h.mixed = false
	h.log.Info("the nodes follow a change of the host's settings", "search", now.host.Search, "proxy", now.host.Proxy != nodeconfig.Proxy{}, "authorities", now.host.Authorities != "", "names", now.names)
	h.told = now
	return true
}

// tell gives all running nodes what they should have, and reports whether all have
// taken it over. Control planes get a certificate with other names.
func (h *hostSettings) tell(ctx context.Context, now told) bool {
	renamed := h.mixed || !slices.Equal(now.names, h.told.names)
	var failed atomic.Bool
	h.nodes.each(ctx, func(n cluster.Node) {
		// Its next boot reads the document.
		err := h.renewals.handOut(ctx, n, time.Now(), func(path string) bool {
			return renamed && (path == "apiserver.crt" || path == "apiserver.key")
		})
		if err == nil {
			err = h.nodes.client(n).SetHost(ctx, now.host)
		}
		if err != nil {
			failed.Store(true)
			h.log.Warn("a node does not follow the host's settings yet, trying again", "node", n.Name, "error", err)
		}
	})
	return !failed.Load()
}
