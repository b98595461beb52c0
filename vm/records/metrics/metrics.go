// Package metrics records the metrics of a cluster on the host, so that graphs exist
// when what they show has already died. It decides when programs are asked; what is
// recorded is decided in package target, and package store keeps it. The cluster does not
// depend on any of this: failures are shown and tried again.
package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/prometheus/storage"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/records/metrics/promapi"
	"github.com/skiff-dev/skiff/vm/records/metrics/scrape"
	"github.com/skiff-dev/skiff/vm/records/metrics/store"
	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// Period is the time from one round of requests to the next.
const Period = target.Period

const (
	// openAgain is how long the recorder waits after the store failed.
	openAgain = 30 * time.Second
	// closeLimit bounds the wait for a store whose files are damaged.
	closeLimit = 5 * time.Second
	// maxSeries is how many series are recorded at a time. Each uses about 2 KiB of
	// memory.
	maxSeries = 30_000
	// maxWithPods is the number of series from which on no new ones of pods are recorded:
	// the rest is reserved for the cluster itself.
	maxWithPods = 20_000
)

// Directory returns where the metrics are within the records of a cluster.
func Directory(records string) string { return filepath.Join(records, "metrics") }

// Settings are what the user may choose.
type Settings struct {
	Disabled bool
	Keep     time.Duration
	MaxBytes int64
}

// Config of a Recorder.
type Config struct {
	// Dir is the directory of the store.
	Dir string
	// Settings returns the current settings.
	Settings func() Settings
	// Begin is called before nodes and pods are asked, and end afterwards. ok is false while
	// the cluster is paused; then nothing is asked.
	Begin func(ctx context.Context) (end func(), ok bool)
	// Nodes returns the nodes whose machines run, Machines all machines.
	Nodes    func(context.Context) []target.Node
	Machines func(context.Context) []target.Machine
	// Ready returns the registered nodes, and whether each is ready.
	Ready func() map[string]bool
	// Network returns where pods can be.
	Network func() target.Network
	// Services returns the services of the cluster.
	Services func() []target.Service
	// Client watches pods, and Monitors the objects that select what is scraped. Their
	// requests have no time limit.
	Client   kubernetes.Interface
	Monitors dynamic.Interface
	// Dial connects to an address in the cluster's network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialTLS connects to the cluster's own programs and authenticates to them.
	DialTLS func(ctx context.Context, network, address string) (net.Conn, error)
	// FreeBytes returns the free space of the disk.
	FreeBytes func() int64
	Log       *slog.Logger
}

// Recorder records the metrics of one cluster. Its methods may be called concurrently.
type Recorder struct {
	config  Config
	api     http.Handler
	changed wakeup.Signal
	pods    mirror[target.Pod]
	// serviceMonitors and podMonitors select pods, besides annotations.
	serviceMonitors, podMonitors mirror[target.Monitor]

	mu       sync.Mutex // guards what follows
	store    *store.Store
	failed   error  // why the store could not be opened; nil if it is open or not wanted
	notice   string // what happened to an earlier store
	remarks  remarks
	results  map[string]targetResult // of the last requests, by key
	metadata map[string]promapi.Metadata
}

// targetResult is how a target last answered.
type targetResult struct {
	target target.Target
	result scrape.Result
}

// New returns a Recorder that does nothing until Run is called.
func New(config Config) *Recorder {
	r := &Recorder{
		config: config, changed: wakeup.New(), results: map[string]targetResult{}, metadata: map[string]promapi.Metadata{},
		pods:            mirror[target.Pod]{reduce: reducedPod},
		serviceMonitors: mirror[target.Monitor]{reduce: reducedMonitor}, podMonitors: mirror[target.Monitor]{reduce: reducedMonitor},
	}
	r.api = promapi.New(promapi.Config{
		Queryable: r.queryable, Metadata: r.described, Targets: r.targets, Log: config.Log,
	}).Handler()
	return r
}

// Handler serves the HTTP API of Prometheus.
func (r *Recorder) Handler() http.Handler { return r.api }

// Wake makes Run read the settings again.
func (r *Recorder) Wake() { r.changed.Send() }

// Run records until ctx ends. Then it closes the store and returns nil.
func (r *Recorder) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	defer r.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching.Go(func() { r.follow(ctx) })
	rounds := newRounds(r.config)
	defer rounds.close()
	ticker := time.NewTicker(Period)
	defer ticker.Stop()
	for {
		next := ticker.C
		if err := r.round(ctx, rounds); err != nil {
			next = time.After(openAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
		case <-next:
		}
	}
}

// follow watches the objects that determine the targets until ctx ends. It begins once
// metrics are recorded.
func (r *Recorder) follow(ctx context.Context) {
	for r.config.Settings().Disabled {
		if pause.For(ctx, Period) != nil {
			return
		}
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { followPods(ctx, r.config.Client, &r.pods) })
	all.Go(func() {
		followMonitors(ctx, r.config.Monitors, target.ServiceMonitor, &r.serviceMonitors, monitorsBackoff)
	})
	all.Go(func() { followMonitors(ctx, r.config.Monitors, target.PodMonitor, &r.podMonitors, monitorsBackoff) })
}

// round opens the store if necessary and records once. An error is that of the store,
// which is closed then.
func (r *Recorder) round(ctx context.Context, rounds *rounds) error {
	now := time.Now().Round(0) // the wall clock, which the store uses
	settings := r.config.Settings()
	opened, err := r.open(settings, now)
	if err != nil || opened == nil {
		return err
	}
	end, ok := r.config.Begin(ctx)
	if !ok {
		return nil
	}
	defer end()
	answers, lines, err := rounds.record(ctx, now, stored{opened}, r.known(), r.describe)
	if ctx.Err() != nil {
		return nil
	}
	r.mu.Lock()
	r.results, r.remarks = answers, lines
	r.mu.Unlock()
	if err != nil {
		r.config.Log.Warn("cannot record metrics, opening the store again", "error", err)
		r.close()
		r.fail(err)
	}
	return err
}

// known returns the objects that determine the targets.
func (r *Recorder) known() objects {
	return objects{pods: r.pods.all(), monitors: append(r.serviceMonitors.all(), r.podMonitors.all()...)}
}

// open returns the store with the given settings, nil if the user wants none.
func (r *Recorder) open(settings Settings, now time.Time) (*store.Store, error) {
	config := store.Config{
		Dir: r.config.Dir, Keep: settings.Keep, MaxBytes: settings.MaxBytes, FreeBytes: r.config.FreeBytes, Log: r.config.Log,
	}
	r.mu.Lock()
	opened := r.store
	r.mu.Unlock()
	if opened != nil && !settings.Disabled && opened.Has(config) {
		return opened, nil
	}
	r.close()
	if settings.Disabled {
		r.fail(nil)
		return nil, nil
	}
	opened, err := store.Open(config, now)
	if err != nil {
		r.fail(err)
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store, r.failed = opened, nil
	if opened.SetAside != "" {
		r.notice = fmt.Sprintf("The recorded metrics could not be used (%s). They were moved to %s, and recording started over.", opened.Reason, opened.SetAside)
		r.config.Log.Warn("the recorded metrics were set aside", "reason", opened.Reason, "directory", opened.SetAside)
	}
	return opened, nil
}

// fail notes why the store could not be opened.
func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = err
}

// close closes the store. One whose files are damaged may never return, and is left to
// the end of the process.
func (r *Recorder) close() {
	r.mu.Lock()
	opened := r.store
	r.store = nil
	r.mu.Unlock()
	if opened == nil {
		return
	}
	done := make(chan error, 1)
	go func() { done <- opened.Close() }()
	select {
	case err := <-done:
		if err != nil {
			r.config.Log.Warn("the metrics store was not closed cleanly", "error", err)
		}
	case <-time.After(closeLimit):
		r.config.Log.Warn("closing the metrics store timed out")
	}
}

// queryable returns what queries read.
func (r *Recorder) queryable() (storage.Queryable, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.store != nil:
		return r.store, nil
	case r.failed != nil:
		return nil, fmt.Errorf("%w: %w", promapi.ErrUnavailable, r.failed)
	}
	return nil, promapi.ErrUnavailable
}

// stored is a store with a limited number of series.
type stored struct{ *store.Store }

// Full implements scrape.Store.
func (s stored) Full(cluster bool) bool {
	if cluster {
		return s.Series() >= maxSeries
	}
	return s.Series() >= maxWithPods
}
