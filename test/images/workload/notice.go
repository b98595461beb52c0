package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// notice prints the events of a directory, as inotify reports them.
func notice(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("notice wants one directory\n%s", usage)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Close() }()
	if err := watcher.Add(args[0]); err != nil {
		return err
	}
	fmt.Fprintf(out, "watching %s\n", args[0])
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			return err
		case event := <-watcher.Events:
			fmt.Fprintf(out, "%s %s\n", event.Op, filepath.Base(event.Name))
		}
	}
}
