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

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// Pages of a list: the first is small, so that something is there at once.
const (
	firstPage = 100
	nextPage  = 1000
)

// Back-off between tries.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
)

// tableWatch keeps the table of one need as the server has it.
type tableWatch struct {
	client *Client
	need   feed.Objects

	mu      sync.Mutex // guards what follows
	columns []object.Column
	rows    map[string]*object.Row
	order   []string // sorted keys of rows, nil when they have changed
	fresh   object.Freshness
	changed bool
}

func newTableWatch(c *Client, need feed.Objects) *tableWatch {
	return &tableWatch{client: c, need: need, rows: map[string]*object.Row{}}
}

// run lists and watches until ctx ends, and publishes what changes no more
// often than feed.Interval.
func (w *tableWatch) run(ctx context.Context, emit func(any)) {
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for pause(ctx, feed.Interval) {
			w.publish(emit, false)
		}
	})
	defer publishing.Wait()
	wait := firstPause
	for ctx.Err() == nil {
		version, err := w.list(ctx, emit)
		if err == nil {
			wait = firstPause
			err = w.follow(ctx, version)
		}
		if ctx.Err() != nil {
			return
		}
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			w.lost(err)
			w.publish(emit, true)
			pause(ctx, wait/2+rand.N(wait))
			wait = min(2*wait, lastPause)
		}
	}
}

// onChange calls do at first and whenever something of what is watched has
// changed or stops answering, until ctx ends.
func (c *Client) onChange(ctx context.Context, do func(context.Context), watched ...feed.Objects) {
	changes := feed.NewMailbox()
	for _, need := range watched {
		go newTableWatch(c, need).run(ctx, changes.Put)
	}
	for {
		if _, ok := changes.Take(ctx); !ok {
			return
		}
		limited, cancel := context.WithTimeout(ctx, requestLimit)
		do(limited)
		cancel()
	}
}

func (w *tableWatch) lost(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.fresh.At
	if known := time.Now().Add(-quietLimit - pingLimit); w.fresh.State == object.Live && known.After(heard) {
		heard = known // it had nothing to tell, and was there
	}
	w.fresh = freshness(err, heard)
	w.changed = true
}

// publish hands the table over if it has changed.
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

// list reads all pages. What was known before is shown until the last is read,
// unless nothing was.
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
		if first { // what is shown must not change under the reader
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
	if row := r.row(w.need.Cluster, time.Now()); w.wanted(row) {
		rows[row.Key()] = row
	}
}

func (w *tableWatch) wanted(row *object.Row) bool {
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

// follow watches from version on, over as many connections as it takes. It
// returns the error after which the list must be read again.
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
		if last == version && !pause(ctx, firstPause) { // it said nothing: do not spin
			return ctx.Err()
		}
		version = last
	}
}

// events applies the events of one connection and returns the last version, and
// why the connection is over: io.EOF if the server ended it.
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
	if !w.wanted(row) {
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

// statusError is the metav1.Status that stands in an event, as an error.
func statusError(t wireTable) error {
	if t.Code == 0 {
		return fmt.Errorf("the server ended the watch: %s", t.Message)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(t.Code), Reason: metav1.StatusReason(t.Reason),
		Message: fmt.Sprintf("%s: %s", http.StatusText(t.Code), t.Message),
	}}
}
