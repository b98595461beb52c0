package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/skiff-dev/skiff/internal/background"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// startLimit bounds how long a daemon takes until it answers.
const startLimit = 20 * time.Second

// maxLog is how large the daemon's log may be, in bytes, when a new daemon starts.
const maxLog = 4 << 20

// ensure waits until a daemon answers. It starts one if none is running.
func (c *Client) ensure(ctx context.Context) error {
	if len(c.config.Command) == 0 {
		return errors.New("start the daemon: no command")
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	daemon := background.Program{Command: c.config.Command, OpenLog: c.openLog, Held: c.dir().Held, Answers: c.answers}
	if err := daemon.Ensure(ctx); err != nil {
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("the daemon of %s failed to start: %v", c.config.Name, err),
			Log:   c.dir().Log(),
		}
	}
	return nil
}

// answers reports whether a daemon listens.
func (c *Client) answers(ctx context.Context) bool {
	conn, err := c.dial(ctx)
	return err == nil && conn.Close() == nil
}

// openLog opens the daemon's log and creates the cluster's directory if it is
// missing.
func (c *Client) openLog() (*os.File, error) {
	if err := c.dir().Create(); err != nil {
		return nil, fmt.Errorf("create the cluster's directory: %w", err)
	}
	path := c.dir().Log()
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
