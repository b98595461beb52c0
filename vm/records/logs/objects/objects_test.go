package objects

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records/logs/collect"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

type memory struct{ rows []collect.Row }

func (m *memory) Add(rows []collect.Row) error {
	m.rows = append(m.rows, rows...)
	return nil
}

func (m *memory) Times(_ context.Context, _ []entry.Field, from int64) (map[int64]bool, error) {
	times := map[int64]bool{}
	for _, r := range m.rows {
		if r.Time >= from {
			times[r.Time] = true
		}
	}
	return times, nil
}

var second = time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)

func event(name, version string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: name, Namespace: "shop", ResourceVersion: version},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "web", UID: "uid"},
		Reason:         "Started", Message: name, Type: corev1.EventTypeWarning, Count: 2,
		LastTimestamp: metav1.NewTime(second), Source: corev1.EventSource{Component: "kubelet", Host: "worker-1"},
	}
}

func field(fields []entry.Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func TestAnEventIsARowOfItsPodAndNode(t *testing.T) {
	row := eventRow("dev", event("e", "12"))
	for name, want := range map[string]string{"pod": "web", "pod_uid": "uid", "node": "worker-1", "reason": "Started", "level": "warn", "kind": "Pod", "count": "2", "component": "kubelet"} {
		if got := field(row.Fields, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if field(row.Labels, "namespace") != "shop" || field(row.Labels, "source") != daemonapi.LogSourceEvent || row.Text != "e" {
		t.Errorf("%+v", row)
	}
}

func TestEventsOfOneSecondHaveDifferentTimes(t *testing.T) {
	a, b := eventRow("dev", event("a", "1000007")), eventRow("dev", event("b", "1000008"))
	if a.Time >= b.Time || time.Unix(0, a.Time).UTC().Truncate(time.Second) != second {
		t.Errorf("%d, %d", a.Time, b.Time)
	}
	precise := event("c", "9")
	precise.LastTimestamp, precise.EventTime = metav1.Time{}, metav1.NewMicroTime(second.Add(5*time.Microsecond))
	if row := eventRow("dev", precise); row.Time != second.UnixNano()+5009 {
		t.Errorf("%d after the second", row.Time-second.UnixNano())
	}
}

func TestEventsAreAddedOnceAlsoAfterACrash(t *testing.T) {
	client := fake.NewClientset(event("b", "2"), event("a", "1"))
	store := &memory{}
	cursors, _, err := collect.OpenCursors(filepath.Join(t.TempDir(), "cursors.json"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	e := &Events{Cluster: "dev", Client: client, Store: store, Cursors: cursors}
	if _, err := e.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	texts := func() (texts []string) {
		for _, r := range store.rows {
			texts = append(texts, r.Text)
		}
		return texts
	}
	if got := texts(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
	// The cursor was not durable, and the store had written one of them.
	store.rows = store.rows[1:]
	cursors.AcceptEvents("")
	e.Replay = true
	if _, err := e.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := texts(); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("after a crash: %q", got)
	}
	cursors.AcceptEvents("1")
	e.Replay = false
	if _, err := e.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := texts(); !slices.Equal(got, []string{"b", "a", "b"}) {
		t.Errorf("later than the cursor: %q", got)
	}
}

func TestLabelsOfAPodAreWaitedFor(t *testing.T) {
	p := NewPods()
	if _, ok := p.Labels(t.Context(), "uid", 0); ok {
		t.Error("labels of an unknown pod")
	}
	go p.set("uid", map[string]string{"app": "web"})
	labels, ok := p.Labels(t.Context(), "uid", 20*time.Second)
	if !ok || field(labels, "label.app") != "web" {
		t.Errorf("%v, %v", labels, ok)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := p.Labels(ctx, "other", time.Hour); ok {
		t.Error("labels of an unknown pod")
	}
}
