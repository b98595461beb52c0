package objects

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records/logs/collect"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

const (
	// eventPage is how many events are listed at once.
	eventPage = 500
	// maxMessage bounds the message of an event in bytes.
	maxMessage = 16 << 10
)

// Events brings the events of a cluster into its store. The API server keeps them for
// an hour, so those of a longer absence are lost.
type Events struct {
	Cluster string
	Client  kubernetes.Interface
	Store   collect.Store
	Cursors *collect.Cursors
	// Replay means that the store may have events that are not before the cursor.
	Replay bool
}

// Follow adds the events that the store does not have, and later ones, until ctx or the
// watch ends.
func (e *Events) Follow(ctx context.Context) error {
	version, err := e.list(ctx)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	w, err := e.Client.CoreV1().Events(metav1.NamespaceAll).Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true})
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case change, open := <-w.ResultChan():
			if !open {
				return nil
			}
			event, ok := change.Object.(*corev1.Event)
			if !ok {
				return fmt.Errorf("watch events: %w", apierrors.FromObject(change.Object))
			}
			if change.Type != watch.Added && change.Type != watch.Modified {
				continue
			}
			if err := e.add(ctx, []corev1.Event{*event}); err != nil {
				return err
			}
			e.Cursors.AcceptEvents(event.ResourceVersion)
		}
	}
}

// list adds the events that are later than the cursor, and returns the version of the
// list.
func (e *Events) list(ctx context.Context) (string, error) {
	last := number(e.Cursors.Events())
	options := metav1.ListOptions{Limit: eventPage}
	var found []corev1.Event
	version := ""
	for {
		page, err := e.Client.CoreV1().Events(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return "", err
		}
		version = page.ResourceVersion
		for _, event := range page.Items {
			if number(event.ResourceVersion) > last {
				event.ManagedFields = nil
				found = append(found, event)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	slices.SortFunc(found, func(a, b corev1.Event) int {
		return int(int64(number(a.ResourceVersion)) - int64(number(b.ResourceVersion)))
	})
	if err := e.add(ctx, found); err != nil {
		return "", err
	}
	e.Cursors.AcceptEvents(version)
	return version, nil
}

func (e *Events) add(ctx context.Context, events []corev1.Event) error {
	var rows []collect.Row
	for i := range events {
		row := eventRow(e.Cluster, &events[i])
		if e.Replay {
			times, err := e.Store.Times(ctx, row.Labels, row.Time)
			if err != nil {
				return err
			}
			if times[row.Time] {
				continue
			}
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil
	}
	return e.Store.Add(rows)
}

// number returns a resource version as a number; they increase (KEP-5504).
func number(version string) uint64 {
	n, _ := strconv.ParseUint(version, 10, 63)
	return n
}

// eventRow returns an event as a row. Times of events have seconds or microseconds;
// what is below has the version, so that no two rows have the same time.
func eventRow(cluster string, event *corev1.Event) collect.Row {
	at := event.LastTimestamp.Time
	for _, other := range []time.Time{event.EventTime.Time, event.FirstTimestamp.Time} {
		if at.IsZero() {
			at = other
		}
	}
	if event.Series != nil && event.Series.LastObservedTime.After(at) {
		at = event.Series.LastObservedTime.Time
	}
	if at.IsZero() {
		at = event.CreationTimestamp.Time
	}
	unit := time.Microsecond
	if at.Equal(at.Truncate(time.Second)) {
		unit = time.Second
	}
	row := collect.Row{
		Time:   at.Truncate(unit).UnixNano() + int64(number(event.ResourceVersion)%uint64(unit)),
		Labels: []entry.Field{{Name: "cluster", Value: cluster}, {Name: "source", Value: daemonapi.LogSourceEvent}, {Name: "namespace", Value: event.Namespace}},
		Text:   event.Message[:min(len(event.Message), maxMessage)],
	}
	object := event.InvolvedObject
	component := event.Source.Component
	if component == "" {
		component = event.ReportingController
	}
	count := event.Count
	if event.Series != nil {
		count = event.Series.Count
	}
	level := "info"
	if event.Type == corev1.EventTypeWarning {
		level = "warn"
	}
	for _, f := range []entry.Field{
		{Name: "level", Value: level}, {Name: "type", Value: event.Type}, {Name: "reason", Value: event.Reason}, {Name: "kind", Value: object.Kind}, {Name: "name", Value: object.Name},
		{Name: "component", Value: component}, {Name: "count", Value: strconv.Itoa(int(count))},
	} {
		if f.Value != "" && f.Value != "0" {
			row.Fields = append(row.Fields, f)
		}
	}
	if object.Kind == "Pod" {
		// As for its containers, so that a question about a pod finds its events.
		row.Fields = append(row.Fields, entry.Field{Name: "pod", Value: object.Name}, entry.Field{Name: "pod_uid", Value: string(object.UID)})
	}
	if event.Source.Host != "" {
		row.Fields = append(row.Fields, entry.Field{Name: "node", Value: event.Source.Host})
	}
	return row
}
