package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// ErrRequested ends Run when a tool has left a request that a new start obeys:
// whoever supervises this process starts it again.
var ErrRequested = errors.New("asked to start again with other data")

// requests are files that ask for a new start once they appear. Those that are
// there when requests are made are being obeyed by this very start.
type requests struct {
	paths   []string
	watcher *fsnotify.Watcher
}

func watchRequests(paths []string) (*requests, error) {
	dir := filepath.Dir(paths[0])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("watch for requests: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("watch for requests: %w", err)
	}
	return &requests{paths: paths, watcher: watcher}, nil
}

// wait is the only call of next.
func (r *requests) wait(ctx context.Context) error {
	defer r.close()
	return r.next(ctx)
}

func (r *requests) close() { _ = r.watcher.Close() }

// next returns ErrRequested when a request appears, nil when ctx ends.
func (r *requests) next(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-r.watcher.Errors:
			return fmt.Errorf("watch for requests: %w", err)
		case event := <-r.watcher.Events:
			if event.Has(fsnotify.Create) && slices.Contains(r.paths, event.Name) {
				return ErrRequested
			}
		}
	}
}
