// Package pushed is the part of the registry that takes pushes: distribution's
// registry over a directory, bounded in size, in which no crash leaves a broken
// image.
package pushed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"

	"github.com/skiff-dev/skiff/internal/wakeup"
)

// Config of a Store.
type Config struct {
	// Dir holds the images. The caller holds the registry's lock.
	Dir string
	// LimitBytes is how large Dir may grow before pushes are refused.
	LimitBytes int64
	Log        *slog.Logger
}

// Store serves and keeps pushed images.
type Store struct {
	config    Config
	app       http.Handler
	driver    storagedriver.StorageDriver
	namespace distribution.Namespace

	// collecting is held by each request that writes, and by the garbage collector
	// alone.
	collecting sync.RWMutex
	bytes      atomic.Int64 // size of Dir, too high rather than too low
	written    wakeup.Signal
}

// New opens the images in config.Dir.
func New(ctx context.Context, config Config) (*Store, error) {
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the pushed images: %w", err)
	}
	register()
	parameters := configuration.Parameters{parameterRoot: config.Dir}
	settings := &configuration.Configuration{Storage: configuration.Storage{
		driverName: parameters,
		"delete":   configuration.Parameters{"enabled": true},
		"redirect": configuration.Parameters{"disable": true},
		"maintenance": configuration.Parameters{
			"uploadpurging": map[any]any{"enabled": false}, // Collect does it
		},
	}}
	driver, err := driverFactory{}.Create(ctx, parameters)
	if err != nil {
		return nil, fmt.Errorf("open the pushed images: %w", err)
	}
	namespace, err := storage.NewRegistry(ctx, driver, storage.EnableDelete)
	if err != nil {
		return nil, fmt.Errorf("open the pushed images: %w", err)
	}
	s := &Store{config: config, app: handlers.NewApp(ctx, settings), driver: driver, namespace: namespace, written: wakeup.New()}
	size, err := treeSize(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the pushed images: %w", err)
	}
	s.bytes.Store(size)
	return s, nil
}

// Bytes returns how large the images are.
func (s *Store) Bytes() int64 { return s.bytes.Load() }

// ServeHTTP serves the distribution API. Pushes are refused while the store is
// full.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		s.app.ServeHTTP(w, r)
		return
	}
	s.collecting.RLock()
	defer s.collecting.RUnlock()
	defer s.wrote()
	if r.Method != http.MethodDelete && s.full(max(r.ContentLength, 0)) {
		_ = errcode.ServeJSON(w, errcode.ErrorCodeDenied.WithMessage(
			"the registry is full: run \"skiff prune\", or \"skiff registry start --size\" with a larger size"))
		return
	}
	r.Body = &counted{ReadCloser: r.Body, n: &s.bytes, limit: s.config.LimitBytes}
	s.app.ServeHTTP(w, r)
}

func (s *Store) wrote() {
	s.written.Send()
}

// Rested waits until something was written and then nothing for a while. It returns
// false if ctx ends first.
func (s *Store) Rested(ctx context.Context, while time.Duration) bool {
	var rest <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.written:
			rest = time.After(while)
		case <-rest:
			return true
		}
	}
}

// full reports whether more bytes would exceed the limit. What is counted while
// bodies are read includes uploads that failed, so the size is measured first.
func (s *Store) full(more int64) bool {
	if s.bytes.Load()+more <= s.config.LimitBytes {
		return false
	}
	size, err := treeSize(s.config.Dir)
	if err != nil {
		s.config.Log.Warn("cannot measure the pushed images", "error", err)
		return true
	}
	s.bytes.Store(size)
	return size+more > s.config.LimitBytes
}

// counted is a body that adds what is read from it to n, up to limit.
type counted struct {
	io.ReadCloser
	n     *atomic.Int64
	limit int64
}

// errFull ends an upload of unknown length that does not fit.
var errFull = errors.New("the registry is full")

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.n.Add(int64(n)) > c.limit {
		return n, errFull
	}
	return n, err
}

// Image is a tag of a pushed image.
type Image struct {
	// Name is REPOSITORY:TAG.
	Name   string
	Digest string
}

// Images returns all tags, sorted by name.
func (s *Store) Images(ctx context.Context) ([]Image, error) {
	var images []Image
	err := s.repositories(ctx, func(repository distribution.Repository) error {
		tags := repository.Tags(ctx)
		names, err := tags.All(ctx)
		if err != nil {
			return absentIsEmpty(err)
		}
		for _, name := range names {
			found, err := tags.Get(ctx, name)
			if err != nil {
				continue // deleted meanwhile
			}
			images = append(images, Image{Name: repository.Named().Name() + ":" + name, Digest: found.Digest.String()})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list pushed images: %w", err)
	}
	slices.SortFunc(images, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	return images, nil
}

// repositories calls each with every repository.
func (s *Store) repositories(ctx context.Context, each func(distribution.Repository) error) error {
	enumerator, ok := s.namespace.(distribution.RepositoryEnumerator)
	if !ok {
		return errors.New("the storage cannot list repositories")
	}
	return absentIsEmpty(enumerator.Enumerate(ctx, func(name string) error {
		named, err := reference.WithName(name)
		if err != nil {
			return err
		}
		repository, err := s.namespace.Repository(ctx, named)
		if err != nil {
			return err
		}
		return each(repository)
	}))
}

// absentIsEmpty returns nil for an error that means that nothing was pushed yet.
func absentIsEmpty(err error) error {
	if errors.As(err, &storagedriver.PathNotFoundError{}) || errors.As(err, &distribution.ErrRepositoryUnknown{}) {
		return nil
	}
	return err
}

// treeSize returns the size of all files below dir in bytes.
func treeSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an upload that ended meanwhile
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		size += info.Size()
		return nil
	})
	return size, err
}
