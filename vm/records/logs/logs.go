// Package logs is the process that keeps a cluster's logs: it collects them from the
// nodes and from the Kubernetes API into a store, and answers queries. It is apart from
// the daemon, which starts it: what guests write is parsed here, and the library of the
// store ends its process when a file is damaged.
package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/gctune"
	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/node"
	"github.com/skiff-dev/skiff/vm/records"
	"github.com/skiff-dev/skiff/vm/records/logs/child"
	"github.com/skiff-dev/skiff/vm/records/logs/collect"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
	"github.com/skiff-dev/skiff/vm/records/logs/query"
	"github.com/skiff-dev/skiff/vm/records/logs/store"
)

const (
	// DefaultLimitBytes bounds the store.
	DefaultLimitBytes = 200 << 20
	// DefaultAge is how long entries are kept.
	DefaultAge = 24 * time.Hour
	// collectPercent and memoryLimit are the Go runtime's: the process mostly waits, and
	// its heap is mostly buffers.
	collectPercent, memoryLimit = 50, 192 << 20
	// cursorsFile has the cursors, beside the store.
	cursorsFile = home.LogCursors
	// saveEvery is how often cursors are saved.
	saveEvery = 3 * time.Second
	// nodesEvery is how often the list of nodes is read.
	nodesEvery = 2 * time.Second
)

// Config of the process.
type Config struct {
	// Dir has the store and the cursors.
	Dir string
	// Home and Cluster are where logs come from; nothing is collected if Cluster is empty.
	Home    home.Home
	Cluster string
	// LimitBytes and Age bound the store.
	LimitBytes int64
	Age        time.Duration
	// Listener is where queries arrive. Run closes it.
	Listener net.Listener
	// Parent ends when the process that started this one does.
	Parent io.Reader
	// Ready receives a line once the store is open.
	Ready io.Writer
	Log   *slog.Logger
}

// process is a running process.
type process struct {
	config  Config
	store   *store.Store
	cursors *collect.Cursors
	drain   *collect.Drain
	replay  bool

	mu      sync.Mutex // guards dropped
	dropped map[string]nodeapi.LogsDropped
}

// Run serves until ctx ends or Parent does.
func Run(ctx context.Context, config Config) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, config.Parent)
		cancel()
	}()
	gctune.Limits{Percent: collectPercent, Bytes: memoryLimit}.Apply()
	p := &process{config: config, drain: collect.NewDrain(), dropped: map[string]nodeapi.LogsDropped{}}
	collecting := config.Cluster != ""
	release, err := store.Lock(ctx, filepath.Join(config.Dir, home.LogStore), config.Log)
	if err != nil {
		return err
	}
	defer release()
	p.store, err = store.Open(store.Config{
		Dir: filepath.Join(config.Dir, home.LogStore), LimitBytes: config.LimitBytes, Age: config.Age, ReadOnly: !collecting,
	})
	if err != nil {
		return err
	}
	if collecting {
		clean := false
		if p.cursors, clean, err = collect.OpenCursors(filepath.Join(config.Dir, cursorsFile), store.Lag); err != nil {
			return err
		}
		p.replay = !clean
	}
	if _, err := fmt.Fprintln(config.Ready, child.Ready); err != nil {
		return err
	}
	var all sync.WaitGroup
	if collecting {
		all.Go(func() { p.store.Keep(ctx, config.Log) })
		all.Go(func() { p.nodes(ctx) })
		all.Go(func() { p.api(ctx) })
		all.Go(func() { p.save(ctx) })
	}
	err = p.serve(ctx)
	cancel()
	all.Wait()
	p.store.Close()
	if collecting {
		err = errors.Join(err, p.cursors.Close())
	}
	return err
}

// serve answers queries until ctx ends.
func (p *process) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	queries := p.store.Handler()
	for _, path := range []string{store.PathSelect, store.PathBuild, store.PathHealth} {
		mux.Handle(path, queries)
	}
	mux.HandleFunc("GET "+query.PathStatus, func(w http.ResponseWriter, _ *http.Request) { jsonhttp.Write(w, p.status()) })
	mux.HandleFunc("POST "+child.PathDrain, func(_ http.ResponseWriter, r *http.Request) { p.drain.Wait(r.Context()) })
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(p.config.Log.Handler(), slog.LevelWarn),
	}
	stop := context.AfterFunc(ctx, func() {
		quit, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(quit)
	})
	defer stop()
	if err := server.Serve(p.config.Listener); ctx.Err() == nil {
		return fmt.Errorf("answer queries of logs: %w", err)
	}
	// Queries use the store until they end.
	quit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(quit)
}

func (p *process) status() query.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := query.Status{Bytes: records.Size(p.config.Dir), Dropped: map[string]nodeapi.LogsDropped{}}
	for node, dropped := range p.dropped {
		if dropped.Lines > 0 {
			s.Dropped[node] = dropped
		}
	}
	return s
}

// save saves cursors until ctx ends.
func (p *process) save(ctx context.Context) {
	for pause.For(ctx, saveEvery) == nil {
		if err := p.cursors.Save(time.Now()); err != nil {
			p.config.Log.Warn("save how far logs were collected", "error", err)
		}
	}
}

// nodes collects from the nodes that the cluster has, until ctx ends.
func (p *process) nodes(ctx context.Context) {
	dir := p.config.Home.Cluster(p.config.Cluster)
	daemon := child.KeptTransport(dir.Socket())
	pods := p.pods(ctx)
	running := map[string]func(){} // to end the collection from a node
	var all sync.WaitGroup
	defer all.Wait()
	for {
		state, err := cluster.ReadState(dir.State())
		if err != nil && !cluster.IsAbsent(err) {
			p.config.Log.Warn("read which nodes have logs", "error", err)
		}
		for _, name := range state.Names() {
			if running[name] != nil {
				continue
			}
			of, cancel := context.WithCancel(ctx)
			ended := make(chan struct{})
			running[name] = func() { cancel(); <-ended }
			all.Go(func() {
				defer close(ended)
				collect.Run(of, collect.Config{
					Cluster: p.config.Cluster, Name: name, Node: node.New(name, "http://daemon"+daemonapi.PathNode+url.PathEscape(name), daemon), Store: p.store, Cursors: p.cursors, Replay: p.replay,
					PodLabels: pods.Labels, Dropped: func(d nodeapi.LogsDropped) { p.drop(name, d) }, Drain: p.drain, Log: p.config.Log,
				})
			})
		}
		for name, end := range running {
			if err == nil && !slices.Contains(state.Names(), name) {
				end()
				delete(running, name)
				p.drain.Forget(name)
				p.cursors.Forget(name)
			}
		}
		if pause.For(ctx, nodesEvery) != nil {
			return
		}
	}
}

// sourceLost is the source of entries about lines that were not collected.
const sourceLost = "lost"

// drop notes what a node had to delete, and adds an entry about it, so that a search
// shows where lines are missing.
func (p *process) drop(node string, dropped nodeapi.LogsDropped) {
	fresh := p.cursors.Dropped(node, dropped)
	if fresh == (nodeapi.LogsDropped{}) {
		return
	}
	p.mu.Lock()
	p.dropped[node] = nodeapi.LogsDropped{
		Files: p.dropped[node].Files + fresh.Files, Lines: p.dropped[node].Lines + fresh.Lines, Bytes: p.dropped[node].Bytes + fresh.Bytes,
	}
	p.mu.Unlock()
	text := fmt.Sprintf("%d lines (%d bytes in %d files) of node %s were deleted there before they could be collected", fresh.Lines, fresh.Bytes, fresh.Files, node)
	p.config.Log.Warn(text)
	row := collect.Row{
		Time: time.Now().UnixNano(), Text: text, Fields: []entry.Field{{Name: "level", Value: "warn"}},
		Labels: []entry.Field{{Name: "cluster", Value: p.config.Cluster}, {Name: "node", Value: node}, {Name: "source", Value: sourceLost}},
	}
	if err := p.store.Add([]collect.Row{row}); err != nil {
		p.config.Log.Warn("note that logs were lost", "error", err)
	}
}
