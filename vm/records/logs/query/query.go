// Package query asks a log store for entries, in the order of their times.
package query

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

const (
	// page is about how many entries are asked for at once.
	page = 20_000
	// maxLine bounds one entry in bytes.
	maxLine = 8 << 20
	// followEvery is how often Follow asks, and late how much later than its time an
	// entry may arrive to be shown.
	followEvery = 500 * time.Millisecond
	late        = 15 * time.Second
)

// Client asks one store.
type Client struct {
	// Transport sends requests to the store; Base is the beginning of their URLs.
	Transport http.RoundTripper
	Base      string
}

// Question selects entries.
type Question struct {
	// Query in LogsQL; empty means all entries.
	Query string
	// Filter is one more condition in LogsQL, which a pipe in Query does not affect.
	Filter string
	// Since and Until bound the time, Until itself left out; zero means no bound.
	Since, Until time.Time
	// Last is how many of the last entries are returned; 0 means all.
	Last int
}

// pipes reports whether the query computes something else than entries.
func (q Question) pipes() bool { return strings.Contains(q.Query, "|") }

// Entry is one entry, or what a query computed.
type Entry struct {
	Time   time.Time
	Fields map[string]string
	// JSON is what the store answered.
	JSON []byte
}

// key tells entries apart.
func (e Entry) key() string { return e.Fields["_stream_id"] + e.Fields["_time"] }

// PathStatus is where GET returns Status.
const PathStatus = "/status"

// Status is what the process of a store reports.
type Status struct {
	// Bytes is the size of the store on disk.
	Bytes int64 `json:"bytes"`
	// Dropped is what nodes had to delete before it was collected, since the process
	// started.
	Dropped map[string]nodeapi.LogsDropped `json:"dropped,omitempty"`
}

// Status returns what the process of the store reports.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	body, err := c.get(ctx, PathStatus, nil)
	if err != nil {
		return status, err
	}
	defer func() { _ = body.Close() }()
	return status, json.NewDecoder(io.LimitReader(body, maxLine)).Decode(&status)
}

// Search calls show for the entries that q selects, the oldest first, and for what a
// query with pipes computes in the order of the store.
func (c *Client) Search(ctx context.Context, q Question, show func(Entry) error) error {
	if q.pipes() || q.Last > 0 {
		limit := q.Last
		if q.pipes() {
			limit = 0
		}
		entries, err := c.ask(ctx, q, q.Query, limit)
		if err != nil {
			return err
		}
		return each(entries, show)
	}
	// Sorting many entries would need much memory in the store, so they are asked for in
	// windows of time with not too many.
	windows, err := c.windows(ctx, q, time.Minute)
	if err != nil {
		return err
	}
	for _, w := range windows {
		q.Since, q.Until = w.begin, w.end
		entries, err := c.ask(ctx, q, q.Query, 0)
		if err != nil {
			return err
		}
		if err := each(entries, show); err != nil {
			return err
		}
	}
	return nil
}

// window is a part of the time in which there are entries.
type window struct {
	begin, end time.Time
	entries    int
}

// windows returns windows with about a page of entries each. step is how long the
// smallest ones are; those with more entries are split once.
func (c *Client) windows(ctx context.Context, q Question, step time.Duration) ([]window, error) {
	counts, err := c.ask(ctx, q, cmp.Or(q.Query, "*")+" | stats by (_time:"+step.String()+") count() n", 0)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(counts, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	var windows []window
	for _, count := range counts {
		n, err := strconv.Atoi(count.Fields["n"])
		if err != nil || count.Time.IsZero() {
			return nil, fmt.Errorf("the log store counts %q entries at %q", count.Fields["n"], count.Fields["_time"])
		}
		w := window{later(count.Time, q.Since), count.Time.Add(step), n}
		if !q.Until.IsZero() && q.Until.Before(w.end) {
			w.end = q.Until
		}
		switch last := len(windows) - 1; {
		case n > page && step > time.Second:
			inside := q
			inside.Since, inside.Until = w.begin, w.end
			parts, err := c.windows(ctx, inside, time.Second)
			if err != nil {
				return nil, err
			}
			windows = append(windows, parts...)
		case last >= 0 && windows[last].entries+n <= page:
			windows[last].end, windows[last].entries = w.end, windows[last].entries+n
		default:
			windows = append(windows, w)
		}
	}
	return windows, nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Follow is like Search, and then shows later entries until ctx ends.
func (c *Client) Follow(ctx context.Context, q Question, show func(Entry) error) error {
	shown := map[string]time.Time{}
	once := func(e Entry) error {
		if _, ok := shown[e.key()]; ok {
			return nil
		}
		shown[e.key()] = e.Time
		return show(e)
	}
	oldest := q.Since
	first := func(e Entry) error {
		if q.Last > 0 && len(shown) == 0 {
			oldest = e.Time
		}
		return once(e)
	}
	if err := c.Search(ctx, q, first); err != nil {
		return err
	}
	q.Last = 0
	for pause.For(ctx, followEvery) == nil {
		now := time.Now()
		// What is older than the first entries is not shown, but what is younger may have
		// arrived only now.
		q.Since = later(now.Add(-late), oldest)
		if err := c.Search(ctx, q, once); err != nil && ctx.Err() == nil {
			return err
		}
		for key, at := range shown {
			if now.Sub(at) > 2*late {
				delete(shown, key)
			}
		}
	}
	return nil
}

func each(entries []Entry, show func(Entry) error) error {
	for _, e := range entries {
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

// ask sends one query. Entries are sorted by their times.
func (c *Client) ask(ctx context.Context, q Question, text string, limit int) ([]Entry, error) {
	parameters := url.Values{"query": {cmp.Or(text, "*")}}
	if q.Filter != "" {
		parameters.Set("extra_filters", q.Filter)
	}
	if !q.Since.IsZero() {
		parameters.Set("start", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		// The store includes the end.
		parameters.Set("end", q.Until.Add(-1).UTC().Format(time.RFC3339Nano))
	}
	if limit > 0 {
		parameters.Set("limit", strconv.Itoa(limit))
	}
	body, err := c.get(ctx, "/select/logsql/query", parameters)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	var entries []Entry
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		e := Entry{JSON: slices.Clone(lines.Bytes())}
		if err := json.Unmarshal(e.JSON, &e.Fields); err != nil {
			return nil, fmt.Errorf("decode the answer of the log store: %w", err)
		}
		e.Time, _ = time.Parse(time.RFC3339Nano, e.Fields["_time"])
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the answer of the log store: %w", err)
	}
	if !q.pipes() {
		slices.SortStableFunc(entries, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	}
	return entries, nil
}

// RefusedError is the answer to an invalid query.
type RefusedError struct{ message string }

// Error returns what is wrong with the query.
func (e *RefusedError) Error() string { return e.message }

func (c *Client) get(ctx context.Context, path string, parameters url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Base+path, strings.NewReader(parameters.Encode()))
	if err != nil {
		return nil, err
	}
	if parameters == nil {
		request.Method, request.Body, request.ContentLength = http.MethodGet, nil, 0
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.Transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("ask the log store: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return nil, err
	}
	message := strings.TrimSpace(string(text))
	if response.StatusCode == http.StatusBadRequest {
		return nil, &RefusedError{message}
	}
	return nil, fmt.Errorf("ask the log store: %s", message)
}
