package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/vm/driver"
)

// hostLimits are kernel parameters of the host that limit all sandboxes together,
// because their programs count as the host's root, with the least values that
// several clusters need. A kubelet uses about 20 of the kernel's default of 128
// inotify instances (inotify(7)); a program that gets none reports "too many open
// files".
var hostLimits = []struct {
	path  string
	least int
}{
	{"/proc/sys/fs/inotify/max_user_instances", 8192},
	{"/proc/sys/fs/inotify/max_user_watches", 524288},
}

// raiseLimits raises the parameters that are lower, until the host boots again.
func raiseLimits() error {
	for _, limit := range hostLimits {
		content, err := os.ReadFile(limit.path)
		if err != nil {
			return fmt.Errorf("read the host's limit: %w", err)
		}
		now, err := strconv.Atoi(strings.TrimSpace(string(content)))
		if err != nil {
			return fmt.Errorf("read the host's limit %s: %w", limit.path, err)
		}
		if now >= limit.least {
			continue
		}
		if err := os.WriteFile(limit.path, []byte(strconv.Itoa(limit.least)), 0o644); err != nil {
			return fmt.Errorf("%w: nodes need %s to be at least %d, and it cannot be raised: %w", driver.ErrUnavailable, limit.path, limit.least, err)
		}
	}
	return nil
}
