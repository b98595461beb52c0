// Command logs measures the log store: how many lines a second it takes, what they use
// on disk and in memory, and how long queries take, compared with the same lines as a
// text file, compressed or searched by grep.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/process"
	"github.com/skiff-dev/skiff/vm/records"
	"github.com/skiff-dev/skiff/vm/records/logs/collect"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
	"github.com/skiff-dev/skiff/vm/records/logs/query"
	"github.com/skiff-dev/skiff/vm/records/logs/store"
)

const (
	pods = 30
	// goalQuery is the goal of the project for a query over 10 million lines.
	goalQuery = 1000
	million   = 1e6
	rounds    = 3
	// screenLines is how many lines the screen of the dashboard shows.
	screenLines = 2000
	// needle is in one of a million lines.
	needle = "deadline-exceeded"
)

func main() {
	out := flag.String("out", "build/bench/logs.json", "output file for the figures")
	b := &bench{}
	flag.IntVar(&b.lines, "lines", 10_000_000, "number of lines")
	flag.StringVar(&b.dir, "dir", "build/bench/logs", "directory for the store and the text, removed at the end")
	flag.Parse()
	figure.Main("logs", *out, b.run)
}

type bench struct {
	lines int
	dir   string
	store *store.Store
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	if err := errors.Join(os.RemoveAll(b.dir), os.MkdirAll(b.dir, 0o755)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	path := filepath.Join(b.dir, "text.log")
	compressed, err := b.write(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "store")
	if b.store, err = store.Open(store.Config{Dir: dir, LimitBytes: 1 << 40, Age: 24 * time.Hour}); err != nil {
		return nil, err
	}
	perSecond, err := b.fill(ctx, path)
	if err != nil {
		return nil, err
	}
	filled, err := process.Memory(os.Getpid())
	if err != nil {
		return nil, err
	}
	figures = append(figures, figure.New("lines taken", "1/s", perSecond, 0))
	queries, err := b.queries(ctx, path)
	if err != nil {
		return nil, err
	}
	asked, err := process.Memory(os.Getpid())
	if err != nil {
		return nil, err
	}
	b.store.Close()
	perMillion := float64(b.lines) / million
	figures = append(figures,
		figure.New("disk per million lines (peer: zstd)", "MB", float64(records.Size(dir))/1e6/perMillion, 0).Against(float64(compressed)/1e6/perMillion),
		figure.New("anonymous memory after the last line", "MiB", filled.Anonymous, 0),
		figure.New("anonymous memory after queries", "MiB", asked.Anonymous, 0),
	)
	return append(figures, queries...), nil
}

// line is line number n, as a container's log has it.
func line(n int, at time.Time) string {
	level := "info"
	switch {
	case n%1000 == 7:
		level = "error"
	case n%50 == 3:
		level = "warn"
	}
	more := ""
	if n%million == 500_000 {
		more = " reason=" + needle
	}
	return fmt.Sprintf("%s stdout F time=%s level=%s msg=\"request served\" method=GET path=/api/v1/items/%d status=%d took=%dms client=10.244.%d.%d%s\n",
		at.UTC().Format(time.RFC3339Nano), at.UTC().Format(time.RFC3339), level, n*7919%100_003, 200+n%5, n*31%977, n%7, n*13%251, more)
}

// write writes the text, and returns how large it is compressed.
func (b *bench) write(path string) (int64, error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	var size counter
	compressed, err := zstd.NewWriter(&size)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(io.MultiWriter(file, compressed), 1<<20)
	at := time.Now().Add(-time.Hour)
	for n := range b.lines {
		at = at.Add(time.Hour / time.Duration(b.lines))
		if _, err := w.WriteString(line(n, at)); err != nil {
			return 0, err
		}
	}
	return int64(size), errors.Join(w.Flush(), compressed.Close())
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// fill adds the lines, those of each pod in parts as they arrive from a node.
func (b *bench) fill(ctx context.Context, path string) (perSecond float64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	begun := time.Now()
	var rows []collect.Row
	pod := 0
	joiner := entry.NewJoiner(entry.Position{}, entry.ParseCRI, func(e entry.Entry) {
		rows = append(rows, collect.Row{Time: e.Time, Labels: labels(pod), Text: e.Text, Fields: append([]entry.Field{{Name: "pod_uid", Value: "uid"}, {Name: "label.app", Value: "web"}}, entry.ProgramFields(e.Text)...)})
	})
	for part := make([]byte, 256<<10); ctx.Err() == nil; pod = (pod + 1) % pods {
		n, err := file.Read(part)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		joiner.Write(part[:n], begun)
		if err := b.store.Add(rows); err != nil {
			return 0, err
		}
		rows = rows[:0]
	}
	joiner.End(begun)
	if err := b.store.Add(rows); err != nil {
		return 0, err
	}
	return float64(b.lines) / time.Since(begun).Seconds(), ctx.Err()
}

func labels(pod int) []entry.Field {
	return []entry.Field{
		{Name: "cluster", Value: "bench"}, {Name: "node", Value: "worker-1"}, {Name: "source", Value: "container"}, {Name: "namespace", Value: "shop"},
		{Name: "pod", Value: fmt.Sprintf("web-%d", pod)}, {Name: "container", Value: "app"}, {Name: "stream", Value: "stdout"},
	}
}

// queries measures queries and the same searches by grep. The fastest round counts. CPU time
// hardly depends on what else runs, and is spent on all CPUs at once.
func (b *bench) queries(ctx context.Context, path string) ([]figure.Figure, error) {
	if err := b.await(ctx); err != nil {
		return nil, err
	}
	var figures []figure.Figure
	for _, q := range []struct {
		name, query, pattern string
		limit                int // of the newest entries, 0 means none
	}{
		{"a rare word", needle + " | stats count() n", needle, 0},
		{"errors of one pod", `pod:="web-3" "level=error" | stats count() n`, "level=error", 0},
		{"errors by pod", `level:=error | stats by (pod) count() n`, "level=error", 0},
		{"errors by pod, as text", `"level=error" | stats by (pod) count() n`, "level=error", 0},
		{"the last 100 warnings", `"level=warn" | sort by (_time) desc limit 100`, "level=warn", 0},
		// What the search of a screen requests: the newest lines, and a histogram.
		{"a screen: lines with a rare word", query.Words(needle), needle, screenLines},
		{"a screen: lines with a frequent word", query.Words("error"), "error", screenLines},
		{"a screen: lines with a word of all", query.Words("served"), "served", screenLines},
		{"a screen: histogram of a rare word", query.Words(needle) + " | stats by (_time:45s) count() n", needle, 0},
		{"a screen: histogram of a frequent word", query.Words("error") + " | stats by (_time:45s) count() n", "error", 0},
	} {
		before, err := process.CPU(os.Getpid())
		if err != nil {
			return nil, err
		}
		ours, err := fastest(func() error {
			_, err := b.ask(q.query, q.limit)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.query, err)
		}
		after, err := process.CPU(os.Getpid())
		if err != nil {
			return nil, err
		}
		grep, err := fastest(func() error {
			// Without a reader of its output, grep stops at the first match.
			_, err := exec.CommandContext(ctx, "grep", "-cF", q.pattern, path).Output()
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("grep %s: %w", q.pattern, err)
		}
		figures = append(figures,
			figure.New(q.name+" (peer: grep)", "ms", ours, goalQuery).Against(grep),
			figure.New(q.name+": CPU time", "ms", float64((after-before).Milliseconds())/rounds, 0),
		)
	}
	return figures, nil
}

func fastest(f func() error) (milliseconds float64, err error) {
	var took []float64
	for range rounds {
		begun := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(begun).Microseconds())/1000)
	}
	return slices.Min(took), nil
}

// ask returns the answer to a query, of which only the newest entries if limit is not 0.
func (b *bench) ask(text string, limit int) ([]byte, error) {
	answer := httptest.NewRecorder()
	parameters := url.Values{"query": {text}}
	if limit > 0 {
		parameters.Set("limit", strconv.Itoa(limit))
	}
	b.store.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, store.PathSelect+"query?"+parameters.Encode(), nil))
	if answer.Code != http.StatusOK || answer.Body.Len() == 0 {
		return nil, fmt.Errorf("status %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.Bytes(), nil
}

// await waits until all lines can be found.
func (b *bench) await(ctx context.Context) error {
	want := fmt.Appendf(nil, `{"n":"%d"}`, b.lines)
	for {
		answer, err := b.ask("* | stats count() n", 0)
		if err != nil {
			return fmt.Errorf("count the lines: %w", err)
		}
		if bytes.Contains(answer, want) {
			return nil
		}
		if err := pause.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}
