package fleet

import (
	"context"
	"reflect"
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

	mu   sync.Mutex      // held while nodes are told
	told nodeconfig.Host // what all running nodes have
}

func newHostSettings(c core, renewals *renewals) *hostSettings {
	return &hostSettings{core: c, renewals: renewals, told: c.documents.host()}
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
	now := h.documents.host()
	if reflect.DeepEqual(now, h.told) || h.frozen(ctx) {
		return true
	}
	if !h.tell(ctx, now) {
		return false
	}
	h.log.Info("the nodes follow a change of the host's settings", "search", now.Search, "proxy", now.Proxy != nodeconfig.Proxy{}, "authorities", now.Authorities != "")
	h.told = now
	return true
}

// tell gives all running nodes the host's settings, and reports whether all have
// taken them over.
func (h *hostSettings) tell(ctx context.Context, settings nodeconfig.Host) bool {
	var failed atomic.Bool
	h.nodes.each(ctx, func(n cluster.Node) {
		// Its next boot reads the document.
		err := h.renewals.handOut(ctx, n, time.Now(), func(string) bool { return false })
		if err == nil {
			err = h.nodes.client(n).SetHost(ctx, settings)
		}
		if err != nil {
			failed.Store(true)
			h.log.Warn("a node does not follow the host's settings yet, trying again", "node", n.Name, "error", err)
		}
	})
	return !failed.Load()
}
