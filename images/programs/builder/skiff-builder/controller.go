package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	ctd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/cache/remotecache/inline"
	"github.com/moby/buildkit/client"
	buildkitd "github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/network/cniprovider"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/containerd"
	"go.etcd.io/bbolt"
	"go.opentelemetry.io/otel/metric/noop"
)

// What is kept for later builds, in bytes: as little as reserved while the disk is full,
// at most maxCache and a fifth of the disk, and less if less than a tenth is free.
const (
	reserved = 512 << 20
	maxCache = 20 << 30
)

// history is how many builds are remembered, for how long.
var history = buildkitd.HistoryConfig{MaxAge: buildkitd.Duration{Duration: 24 * time.Hour}, MaxEntries: new(int64(10))}

// newController assembles BuildKit as its daemon does, with one worker and without
// caches in other places and tracing.
func newController(ctx context.Context) (*control.Controller, error) {
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	w, err := newWorker(ctx)
	if err != nil {
		return nil, fmt.Errorf("use containerd: %w", err)
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	images, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(stateDir, "cache.db"))
	if err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	builds, err := boltutil.SafeOpen(filepath.Join(stateDir, "history.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	return control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
			"gateway.v0":    images,
		},
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{"inline": inline.ResolveCacheExporterFunc()},
		CacheManager:              solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		MeterProvider:             noop.NewMeterProvider(),
		HistoryDB:                 builds,
		HistoryConfig:             &history,
		CacheStore:                cache,
		LeaseManager:              w.LeaseManager(),
		ContentStore:              w.ContentStore(),
		GarbageCollect:            w.GarbageCollect,
		GracefulStop:              ctx.Done(),
	})
}

func newWorker(ctx context.Context) (*base.Worker, error) {
	options, err := containerd.NewWorkerOpt(containerd.WorkerOptions{
		Root: stateDir, Address: containerdSocket, Namespace: namespace, SnapshotterName: "overlayfs",
		NetworkOpt: netproviders.Opt{
			Mode: "cni",
			CNI:  cniprovider.Opt{Root: stateDir, ConfigPath: podNetwork, BinaryDir: cniPlugins},
		},
	}, ctd.WithTimeout(time.Minute))
	if err != nil {
		return nil, err
	}
	size, err := diskSize(stateDir)
	if err != nil {
		return nil, err
	}
	options.GCPolicy = keep(size)
	options.RegistryHosts = docker.RegistryHosts(config.ConfigureHosts(ctx, config.HostOptions{HostDir: config.HostDirFromRoot(registries)}))
	return base.NewWorker(ctx, options)
}

// keep returns what is removed of the cache on a disk of a size, in this order: copies of
// sources that were not used for two days, and everything above the limit.
func keep(size int64) []client.PruneInfo {
	limit := client.PruneInfo{ReservedSpace: reserved, MaxUsedSpace: min(maxCache, size/5), MinFreeSpace: size / 10}
	all := limit
	all.All = true
	return []client.PruneInfo{
		{
			Filter:       []string{"type==source.local", "type==exec.cachemount", "type==source.git.checkout"},
			KeepDuration: 48 * time.Hour, MaxUsedSpace: reserved,
		},
		limit, all,
	}
}

// diskSize returns the size of the file system of dir, in bytes.
func diskSize(dir string) (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("read the size of the disk: %w", err)
	}
	return int64(fs.Blocks) * fs.Bsize, nil
}
