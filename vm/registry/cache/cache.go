// Package cache keeps what was pulled from other registries: blobs and manifests by
// their digests, and what tags meant last. It is bounded in size, forgets what was
// not used for longest, and holds only content that matches its digest.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// maxDownloads bounds the downloads at a time, each of which may take as much disk
// space as the whole cache before it ends.
const maxDownloads = 16

// touchPeriod is how often the use of a blob is written to disk.
const touchPeriod = time.Hour

// Config of a Cache.
type Config struct {
	// Dir holds the cache. The caller holds the registry's lock.
	Dir string
	// LimitBytes is how large the blobs may be together.
	LimitBytes int64
	Log        *slog.Logger
}

// Cache is an open cache. Its methods may be called concurrently.
type Cache struct {
	config Config
	slots  chan struct{} // has an element for each download that runs

	mu        sync.Mutex // guards the fields below
	blobs     map[digest.Digest]*blob
	bytes     int64
	downloads map[digest.Digest]*download

	tagging sync.Mutex // held while tags are changed; guards tags
	tags    int        // number of files
}

type blob struct {
	size    int64
	used    time.Time
	touched time.Time // used, as it is on disk
}

// Open opens the cache in config.Dir and removes what a killed process left there.
func Open(config Config) (*Cache, error) {
	c := &Cache{config: config, slots: make(chan struct{}, maxDownloads), blobs: map[digest.Digest]*blob{}, downloads: map[digest.Digest]*download{}}
	if err := os.RemoveAll(c.incoming()); err != nil {
		return nil, fmt.Errorf("open the cache of images: %w", err)
	}
	for _, dir := range []string{c.incoming(), c.blobDir(), c.tagDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open the cache of images: %w", err)
		}
	}
	entries, err := os.ReadDir(c.blobDir())
	if err != nil {
		return nil, fmt.Errorf("open the cache of images: %w", err)
	}
	for _, entry := range entries {
		d := digest.NewDigestFromEncoded(digest.SHA256, entry.Name())
		info, err := entry.Info()
		if err != nil || d.Validate() != nil {
			_ = os.Remove(filepath.Join(c.blobDir(), entry.Name())) // a killed process left it
			continue
		}
		c.blobs[d] = &blob{size: info.Size(), used: info.ModTime(), touched: info.ModTime()}
		c.bytes += info.Size()
	}
	tags, err := c.tagFiles()
	if err != nil {
		return nil, fmt.Errorf("open the cache of images: %w", err)
	}
	c.tags = len(tags)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict(c.config.LimitBytes, false)
	return c, nil
}

func (c *Cache) incoming() string { return filepath.Join(c.config.Dir, "incoming") }
func (c *Cache) blobDir() string  { return filepath.Join(c.config.Dir, "blobs") }
func (c *Cache) tagDir() string   { return filepath.Join(c.config.Dir, "tags") }

func (c *Cache) blobFile(d digest.Digest) string { return filepath.Join(c.blobDir(), d.Encoded()) }

// Bytes returns the size of all blobs.
func (c *Cache) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// ErrDigest is returned for a digest that the cache cannot hold.
var ErrDigest = errors.New("the digest is not SHA-256")

// Has reports whether the blob is complete in the cache.
func (c *Cache) Has(d digest.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blobs[d] != nil
}

// Fetch gets the content of a blob and its size, -1 if that is not known.
type Fetch func(ctx context.Context) (content io.ReadCloser, size int64, err error)

// Open returns a blob, which may still be downloading while it is read. If the cache
// does not have it, fetch gets it: once, however many callers ask, and only until all
// of them have closed it. Content that does not match the digest is not kept, and
// reading its end fails.
func (c *Cache) Open(ctx context.Context, d digest.Digest, fetch Fetch) (io.ReadSeekCloser, error) {
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return nil, ErrDigest
	}
	content, flight, err := c.find(d, fetch)
	if content != nil || err != nil {
		return content, err
	}
	return flight.open(ctx)
}

// find returns a blob that is complete, or else its download, which it starts if
// there is none.
func (c *Cache) find(d digest.Digest, fetch Fetch) (io.ReadSeekCloser, *download, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.blobs[d]; b != nil {
		file, err := os.Open(c.blobFile(d))
		if err == nil {
			c.use(d, b)
			return file, nil, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		c.forget(d) // deleted by somebody else
	}
	flight := c.downloads[d]
	if flight == nil || !flight.join() {
		ctx, cancel := context.WithCancel(context.Background())
		flight = newDownload(cancel)
		c.downloads[d] = flight
		go c.download(ctx, d, flight, fetch)
	}
	return nil, flight, nil
}

// use records that a blob was used. The caller holds c.mu.
func (c *Cache) use(d digest.Digest, b *blob) {
	b.used = time.Now()
	if b.used.Sub(b.touched) < touchPeriod {
		return
	}
	b.touched = b.used
	if err := os.Chtimes(c.blobFile(d), b.used, b.used); err != nil {
		c.config.Log.Warn("cannot record the use of an image layer", "digest", d, "error", err)
	}
}

// Put stores a blob that is in memory, such as a manifest, and returns its digest.
func (c *Cache) Put(content []byte) (digest.Digest, error) {
	d := digest.SHA256.FromBytes(content)
	if c.Has(d) {
		return d, nil
	}
	if err := atomicfile.Write(c.blobFile(d), content, 0o600); err != nil {
		return d, fmt.Errorf("store a manifest: %w", err)
	}
	c.add(d, int64(len(content)))
	return d, nil
}

// add makes a blob whose file is complete part of the cache.
func (c *Cache) add(d digest.Digest, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blobs[d] != nil {
		return
	}
	now := time.Now()
	c.blobs[d] = &blob{size: size, used: now, touched: now}
	c.bytes += size
	c.evict(c.config.LimitBytes, false)
}

// forget removes a blob. Who reads it may continue. The caller holds c.mu.
func (c *Cache) forget(d digest.Digest) {
	b := c.blobs[d]
	if b == nil {
		return
	}
	if err := os.Remove(c.blobFile(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.config.Log.Warn("cannot delete an image layer from the cache", "digest", d, "error", err)
		return
	}
	delete(c.blobs, d)
	c.bytes -= b.size
}

// evict forgets what was not used for longest until the blobs are within limit, and
// returns how many bytes that frees. The caller holds c.mu.
func (c *Cache) evict(limit int64, dryRun bool) int64 {
	if c.bytes <= limit {
		return 0
	}
	var order []digest.Digest
	for d := range c.blobs {
		order = append(order, d)
	}
	slices.SortFunc(order, func(a, b digest.Digest) int { return c.blobs[a].used.Compare(c.blobs[b].used) })
	var freed int64
	for _, d := range order {
		if c.bytes <= limit || dryRun && c.bytes-freed <= limit {
			break
		}
		freed += c.blobs[d].size
		if !dryRun {
			c.forget(d)
		}
	}
	return freed
}

// Clear forgets everything, and returns how many bytes that frees.
func (c *Cache) Clear(dryRun bool) (int64, error) {
	c.mu.Lock()
	freed := c.evict(0, dryRun)
	c.mu.Unlock()
	if dryRun {
		return freed, nil
	}
	return freed, c.clearTags()
}
