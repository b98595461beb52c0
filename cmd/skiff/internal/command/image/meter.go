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

// meter counts how much of an archive each node has received.
type meter struct {
	nodes []string
	size  int64
	sent  []atomic.Int64
}

func newMeter(nodes []string, size int64) *meter {
	return &meter{nodes: nodes, size: size, sent: make([]atomic.Int64, len(nodes))}
}

func (m *meter) of(node string) *atomic.Int64 {
	for i, name := range m.nodes {
		if name == node {
			return &m.sent[i]
		}
	}
	return &atomic.Int64{}
}

func (m *meter) String() string {
	var parts []string
	for i, node := range m.nodes {
		switch percent := m.sent[i].Load() * 100 / max(1, m.size); {
		case percent < 100:
			parts = append(parts, fmt.Sprintf("%s %d%%", node, percent))
		default:
			parts = append(parts, node+" unpacking")
		}
	}
	return strings.Join(parts, "  ")
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
