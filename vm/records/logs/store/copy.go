package store

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/skiff-dev/skiff/vm/records/replica"
)

// Copy copies the store in the directory from to the directory to, which can be opened
// without changing the original. It waits until no other process has the original open.
func Copy(ctx context.Context, from, to string, log *slog.Logger) error {
	release, err := Lock(ctx, from, log)
	if err != nil {
		return err
	}
	defer release()
	if err := replica.Copy(from, to, isPartFile); err != nil {
		return fmt.Errorf("copy the log store: %w", err)
	}
	return nil
}

// isPartFile reports whether a file's content never changes: it belongs to a part of the
// rows or of the index, "partitions/20261129/datadb/187C6B1E/values.bin". Snapshots of the
// library link these files, too.
func isPartFile(name string) bool {
	names := strings.Split(name, "/")
	return len(names) == 5 && names[0] == "partitions"
}
