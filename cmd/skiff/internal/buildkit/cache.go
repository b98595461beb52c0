package buildkit

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client"
)

// Usage returns the size of what the builder keeps for later builds, in bytes, without
// what a build is using.
func Usage(ctx context.Context, dial Dial) (int64, error) {
	builder, err := connect(ctx, dial)
	if err != nil {
		return 0, err
	}
	defer func() { _ = builder.Close() }()
	records, err := builder.DiskUsage(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the builder's cache: %w", err)
	}
	var bytes int64
	for _, record := range records {
		if !record.InUse {
			bytes += record.Size
		}
	}
	return bytes, nil
}

// Prune deletes what the builder keeps for later builds, and returns its size in bytes.
func Prune(ctx context.Context, dial Dial) (int64, error) {
	builder, err := connect(ctx, dial)
	if err != nil {
		return 0, err
	}
	defer func() { _ = builder.Close() }()
	deleted := make(chan client.UsageInfo)
	failed := make(chan error, 1)
	go func() {
		defer close(deleted)
		failed <- builder.Prune(ctx, deleted, client.PruneAll)
	}()
	var bytes int64
	for record := range deleted {
		bytes += record.Size
	}
	if err := <-failed; err != nil {
		return bytes, fmt.Errorf("delete the builder's cache: %w", err)
	}
	return bytes, nil
}
