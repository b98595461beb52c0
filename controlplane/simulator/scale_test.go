package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/internal/names"
)

func TestSlowRequestsDoNotLoseNodes(t *testing.T) {
	// The leases of as many nodes as a cluster may have must be written within half of the time
	// that the node controller waits.
	const (
		count, slow, wait = 5000, 250 * time.Millisecond, 40 * time.Second
		enough            = int(count * slow / (wait / 2))
	)
	var writing atomic.Int32
	together := make(chan struct{})
	simulate(t, nodeAPI{nodes: enough, lease: func() {
		if int(writing.Add(1)) == enough {
			close(together)
		}
	}})
	select {
	case <-together:
	case <-time.After(patience):
		t.Errorf("only %d of %d leases are written at the same time", writing.Load(), enough)
	}
}

func TestAClosedWatchContinues(t *testing.T) {
	versions := make(chan string)
	simulate(t, nodeAPI{nodes: 1, lease: func() {}, podWatch: versions})
	for _, want := range []string{"1", "2", "3"} {
		select {
		case got := <-versions:
			if got != want {
				t.Fatalf("a watch begins at version %s, want %s", got, want)
			}
		case <-time.After(patience):
			t.Fatal("the pods are not watched")
		}
	}
}

func TestEventsAreReadBeforeTheyAreWanted(t *testing.T) {
	const count = 5000
	fake := watch.NewFake() // whose senders wait for a reader
	all := resume[*corev1.PodList](podSource{fake})
	events, err := all.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		fake.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.Itoa(i + 1)}})
	}
	fake.Stop()
	got := 0
	for event := range events.ResultChan() {
		got++
		if version := event.Object.(*corev1.Pod).ResourceVersion; version != strconv.Itoa(got) {
			t.Fatalf("event %d has version %s", got, version)
		}
	}
	if got != count {
		t.Errorf("%d of %d events", got, count)
	}
}

func TestAStoppedWatchEnds(t *testing.T) {
	fake := watch.NewFake()
	events, err := resume[*corev1.PodList](podSource{fake}).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	events.Stop()
	events.Stop()
	for range events.ResultChan() {
		t.Error("an event that nobody sent")
	}
	for range fake.ResultChan() {
		t.Error("an event that nobody sent")
	}
}

type podSource struct{ events watch.Interface }

func (s podSource) List(context.Context, metav1.ListOptions) (*corev1.PodList, error) {
	return &corev1.PodList{}, nil
}

func (s podSource) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return s.events, nil
}

// patience is how long to wait for what happens at once if it happens.
const patience = 30 * time.Second

// simulate runs kwok's controller with that API server until the test ends.
func simulate(t *testing.T, a nodeAPI) {
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	stop, err := start(t.Context(), Settings{Client: &rest.Config{Host: server.URL}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

// nodeAPI is an API server with some nodes. It calls lease for each lease that a client writes,
// and does not answer that request.
type nodeAPI struct {
	nodes int
	lease func()
	// podWatch, if not nil, receives the version at which each watch of pods begins. Such a
	// watch ends after one event, of the next version.
	podWatch chan<- string
}

func (a nodeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, resource, _ := strings.Cut(r.URL.Path, "/v1/")
	resource = resource[strings.LastIndex(resource, "/")+1:]
	switch {
	case r.Method == http.MethodPost:
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the client is gone
		a.lease()
		<-r.Context().Done()
	case r.Method != http.MethodGet:
		http.Error(w, "not implemented", http.StatusNotImplemented)
	case !r.URL.Query().Has("watch"):
		_ = json.NewEncoder(w).Encode(a.list(resource))
	case resource == "pods" && a.podWatch != nil:
		a.watchPods(w, r)
	default:
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func (a nodeAPI) list(resource string) any {
	version := metav1.ListMeta{ResourceVersion: "1"}
	switch resource {
	case "nodes":
		all := corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, ListMeta: version}
		for i := range a.nodes {
			all.Items = append(all.Items, corev1.Node{ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("simulated-%d", i), Labels: map[string]string{names.LabelSimulated: names.ValueSimulated},
			}})
		}
		return all
	case "leases":
		return coordinationv1.LeaseList{TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "LeaseList"}, ListMeta: version}
	default:
		return corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, ListMeta: version}
	}
}

func (a nodeAPI) watchPods(w http.ResponseWriter, r *http.Request) {
	version := r.URL.Query().Get("resourceVersion")
	select {
	case a.podWatch <- version:
	case <-r.Context().Done():
		return
	}
	n, _ := strconv.Atoi(version)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": watch.Added, "object": corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "pod", ResourceVersion: strconv.Itoa(n + 1)},
	}})
}
