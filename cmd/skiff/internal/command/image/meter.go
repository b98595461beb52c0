package image

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// meter counts how much of an archive was sent.
type meter struct {
	nodes []string
	size  int64
	sent  atomic.Int64
}

func (m *meter) String() string {
	to := strings.Join(m.nodes, ", ")
	if percent := m.sent.Load() * 100 / max(1, m.size); percent < 100 {
		return fmt.Sprintf("%d%%  %s", percent, to)
	}
	return "unpacking  " + to
}

// show draws the meter until stop is called, if out is a terminal.
func (m *meter) show(out io.Writer) (stop func()) {
	if !cli.IsTerminal(out) {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintf(out, "\r\033[K%s", m)
			select {
			case <-done:
				fmt.Fprint(out, "\r\033[K")
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(done); wg.Wait() }
}
