package fleet

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/records/logs/child"
)

// minFree is how many bytes of the disk must be free for a log store that cannot be
// opened to count as damaged.
const minFree = 64 << 20

// logs runs the process that keeps the cluster's logs.
type logs struct {
	core
	child   *child.Child
	changed wakeup.Signal // sent when the cluster's settings may have changed
}

// newLogs returns the part that keeps logs with a process. command is its program and
// its first arguments.
func newLogs(c core, command []string) *logs {
	l := &logs{core: c, changed: wakeup.New()}
	l.child = child.New(child.Config{
		Command: func() []string {
			records := c.state.spec().Records
			return append(slices.Clone(command), "--dir", c.dir.Logs(), "--home", string(c.dir.Home()), "--cluster", c.dir.Name(),
				"--age", records.Age().String(), "--limit", strconv.FormatInt(records.LogsBytes(), 10))
		},
		Store: filepath.Join(c.dir.Logs(), home.LogStore), MinFree: minFree, Socket: c.dir.LogsSocket(), Log: c.log,
	})
	return l
}

// wake lets run look at the cluster's settings.
func (l *logs) wake() { l.changed.Send() }

// run keeps the process running until ctx ends, with the settings of the cluster.
func (l *logs) run(ctx context.Context) error {
	settings := func() cluster.Records { return l.state.spec().Records }
	for ctx.Err() == nil {
		now := settings()
		current, cancel := untilOther(ctx, l.changed, now, settings)
		var err error
		if now.Disabled {
			<-current.Done()
		} else {
			err = l.child.Run(current)
		}
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// lastLogsLimit bounds how long the last logs may take. Nodes scan their files twice a
// second.
const lastLogsLimit = 8 * time.Second

// DrainLogs waits until the logs that nodes have are recorded, for records that outlive
// the cluster.
func (f *Fleet) DrainLogs(ctx context.Context) {
	if f.logs == nil || f.Spec().Records.Disabled {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lastLogsLimit)
	defer cancel()
	if err := f.logs.child.Drain(ctx); err != nil {
		f.log.Warn("the last logs may not be recorded", "error", err)
	}
}

// logProblems returns what is wrong with the log store.
func (f *Fleet) logProblems() []string {
	if f.logs == nil || f.logs.child.Problem() == "" {
		return nil
	}
	return []string{f.logs.child.Problem()}
}

// Logs answers queries of the cluster's logs, whose paths begin with prefix.
func (f *Fleet) Logs(prefix string) http.Handler {
	if f.logs == nil || f.Spec().Records.Disabled {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "this cluster's logs are not recorded: records.enabled is false", http.StatusNotFound)
		})
	}
	return child.Handler(f.dir.LogsSocket(), prefix)
}
