package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// Page sizes of a list. The first page is small, to show something immediately.
const (
	firstPage = 100
	nextPage  = 1000
)

// Backoff between attempts.
const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// tableWatch keeps a copy of a table and updates it from the server.
type tableWatch struct {
	client *Client
	need   feed.Objects

	mu      sync.Mutex // guards what follows
	columns []object.Column
	rows    map[string]*object.Row
	order   []string // sorted keys of rows; nil if the keys have changed
	fresh   object.Freshness
	changed bool
}

func newTableWatch(c *Client, need feed.Objects) *tableWatch {
	return &tableWatch{client: c, need: need, rows: map[string]*object.Row{}}
}

// run lists and watches until ctx ends. It publishes changes at most once per
// feed.Interval.
func (w *tableWatch) run(ctx context.Context, emit func(any)) {
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for pause.For(ctx, feed.Interval) == nil {
			w.publish(emit, false)
		}
	})
	defer publishing.Wait()
	wait := minBackoff
	for ctx.Err() == nil {
		version, err := w.list(ctx, emit)
		if err == nil {
			wait = minBackoff
			err = w.follow(ctx, version)
		}
		if ctx.Err() != nil {
			return
		}
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			w.disconnected(err)
			w.publish(emit, true)
			_ = pause.For(ctx, wait/2+rand.N(wait))
			wait = min(2*wait, maxBackoff)
		}
	}
}

func (w *tableWatch) disconnected(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.fresh.At
	if known := time.Now().Add(-pingAfter - pingTimeout); w.fresh.State == object.Live && known.After(heard) {
		heard = known // the watch was idle, but the server responded to pings
	}
	w.fresh = freshness(err, heard)
	w.changed = true
}

// publish delivers the table if it has changed, or always.
func (w *tableWatch) publish(emit func(any), always bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.changed && !always {
		return
	}
	w.changed = false
	if w.order == nil {
		w.order = make([]string, 0, len(w.rows))
		for key := range w.rows {
			w.order = append(w.order, key)
		}
		slices.Sort(w.order)
	}
	table := object.Table{
		Cluster: w.need.Cluster, Resource: w.need.Resource, Columns: w.columns,
		Rows: make([]*object.Row, len(w.order)), Freshness: w.fresh,
	}
	for i, key := range w.order {
		table.Rows[i] = w.rows[key]
	}
	emit(table)
}

func (w *tableWatch) request() *rest.Request {
	namespace := ""
	if len(w.need.Namespaces) == 1 {
		namespace = w.need.Namespaces[0]
	}
	r := w.client.raw.Get().AbsPath(w.need.Resource.Path(namespace, "")).SetHeader("Accept", acceptTable)
	if w.need.Resource.ID() == "nodes" {
		r = r.Param("includeObject", string(metav1.IncludeObject)) // for taints and conditions
	}
	if w.need.Labels != "" {
		r = r.Param("labelSelector", w.need.Labels)
	}
	if w.need.Fields != "" {
		r = r.Param("fieldSelector", w.need.Fields)
	}
	return r
}

// list reads all pages. The previous table is kept until the last page has been
// read; the first time, the table grows page by page.
func (w *tableWatch) list(ctx context.Context, emit func(any)) (version string, err error) {
	rows, size, next := map[string]*object.Row{}, firstPage, ""
	for {
		page, err := w.page(ctx, size, next)
		if err != nil {
			return "", err
		}
		for i := range page.Rows {
			w.add(rows, &page.Rows[i])
		}
		version, next, size = page.Metadata.ResourceVersion, page.Metadata.Continue, nextPage
		w.mu.Lock()
		if len(page.ColumnDefinitions) > 0 {
			w.columns = page.columns()
		}
		first := w.fresh.State == object.Loading
		if next == "" || first {
			w.rows, w.order, w.changed = rows, nil, true
		}
		if next == "" {
			w.fresh = object.Freshness{State: object.Live, At: time.Now()}
		}
		w.mu.Unlock()
		if next == "" || first {
			w.publish(emit, true)
		}
		if next == "" {
			return version, nil
		}
		if first { // published rows must not change
			rows = clone(rows)
		}
	}
}

func clone(rows map[string]*object.Row) map[string]*object.Row {
	c := make(map[string]*object.Row, 2*len(rows))
	for k, v := range rows {
		c[k] = v
	}
	return c
}

func (w *tableWatch) add(rows map[string]*object.Row, r *wireRow) {
	if row := r.row(w.need.Cluster, time.Now()); w.matches(row) {
		rows[row.Key()] = row
	}
}

func (w *tableWatch) matches(row *object.Row) bool {
	return len(w.need.Namespaces) < 2 || row.Namespace == "" || slices.Contains(w.need.Namespaces, row.Namespace)
}

func (w *tableWatch) page(ctx context.Context, size int, next string) (wireTable, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*requestLimit)
	defer cancel()
	r := w.request().Param("limit", strconv.Itoa(size))
	if next != "" {
		r = r.Param("continue", next)
	}
	body, err := r.Stream(ctx)
	if err != nil {
		return wireTable{}, err
	}
	defer func() { _ = body.Close() }()
	return decodeTable(body)
}

// follow watches from a version on and reconnects as necessary. It returns the
// error after which the table must be listed again.
func (w *tableWatch) follow(ctx context.Context, version string) error {
	for {
		seconds := 300 + rand.IntN(300)
		body, err := w.request().Param("watch", "true").Param("allowWatchBookmarks", "true").
			Param("resourceVersion", version).Param("timeoutSeconds", strconv.Itoa(seconds)).Stream(ctx)
		if err != nil {
			return err
		}
		last, err := w.events(body, version)
		_ = body.Close()
		if !errors.Is(err, io.EOF) {
			return err
		}
		if last == version && pause.For(ctx, minBackoff) != nil { // the watch had no events: do not spin
			return ctx.Err()
		}
		version = last
	}
}

// events applies the events of one connection. It returns the last version and
// why the connection ended: io.EOF if the server closed it.
func (w *tableWatch) events(body io.Reader, version string) (string, error) {
	decoder := json.NewDecoder(body)
	for {
		var e wireEvent
		if err := decoder.Decode(&e); err != nil {
			return version, err
		}
		if e.Type == "ERROR" {
			return version, statusError(e.Object)
		}
		if e.Object.Metadata.ResourceVersion != "" {
			version = e.Object.Metadata.ResourceVersion
		}
		for i := range e.Object.Rows {
			r := &e.Object.Rows[i]
			if v := r.Object.Metadata.ResourceVersion; v != "" {
				version = v
			}
			if e.Type != "BOOKMARK" {
				w.apply(e.Type, r)
			}
		}
		w.mu.Lock()
		w.fresh = object.Freshness{State: object.Live, At: time.Now()}
		w.mu.Unlock()
	}
}

func (w *tableWatch) apply(event string, r *wireRow) {
	row := r.row(w.need.Cluster, time.Now())
	if !w.matches(row) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = true
	_, known := w.rows[row.Key()]
	if event == "DELETED" {
		delete(w.rows, row.Key())
		w.order = nil
		return
	}
	w.rows[row.Key()] = row
	if !known {
		w.order = nil
	}
}

// statusError converts the metav1.Status of an ERROR event to an error.
func statusError(t wireTable) error {
	if t.Code == 0 {
		return fmt.Errorf("the server ended the watch: %s", t.Message)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(t.Code), Reason: metav1.StatusReason(t.Reason),
		Message: fmt.Sprintf("%s: %s", http.StatusText(t.Code), t.Message),
	}}
}
