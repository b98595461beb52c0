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
	// page is how many entries are asked for at once.
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
	// Since and Until bound the time; zero means no bound.
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

// Status is what the process of a store reports.
type Status struct {
	Bytes   int64                          `json:"bytes"`
	Dropped map[string]nodeapi.LogsDropped `json:"dropped,omitempty"`
}

// Status returns what the process of the store reports.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	body, err := c.get(ctx, "/status", nil)
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
	shown := map[string]bool{} // entries of the last page with its last time
	for {
		entries, err := c.ask(ctx, q, cmp.Or(q.Query, "*")+" | sort by (_time) limit "+strconv.Itoa(page), 0)
		if err != nil {
			return err
		}
		full := len(entries) == page
		entries = slices.DeleteFunc(entries, func(e Entry) bool { return shown[e.key()] })
		if err := each(entries, show); err != nil || !full {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("more than %d entries have the same time", page)
		}
		last := entries[len(entries)-1].Time
		if !last.Equal(q.Since) {
			clear(shown)
		}
		for _, e := range entries {
			if e.Time.Equal(last) {
				shown[e.key()] = true
			}
		}
		q.Since = last
	}
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
	begun := time.Now()
	if err := c.Search(ctx, q, once); err != nil {
		return err
	}
	q.Last = 0
	for pause.For(ctx, followEvery) == nil {
		now := time.Now()
		// The first entries were those of q; what is older than them is not shown.
		q.Since = now.Add(-late)
		if q.Since.Before(begun) {
			q.Since = begun
		}
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
		parameters.Set("end", q.Until.UTC().Format(time.RFC3339Nano))
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
