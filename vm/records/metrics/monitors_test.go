package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// monitor returns a ServiceMonitor of services with the label app=web.
func monitor() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": target.MonitorGroup + "/v1", "kind": target.ServiceMonitor,
		"metadata": map[string]any{"namespace": "shop", "name": "web"},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"endpoints": []any{map[string]any{
				"port":        "metrics",
				"honorLabels": true, "relabelings": []any{map[string]any{"targetLabel": "team", "replacement": "a"}},
				"metricRelabelings": []any{map[string]any{"action": "drop", "sourceLabels": []any{"__name__"}, "regex": "noise_.*"}},
			}},
		},
	}}
}

func TestAPodOfAServiceMonitorIsRecorded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "orders_total 42\nnoise_total 1") }))
	defer server.Close()
	c := config(t, server.Listener.Addr().String())
	pod := annotated()
	pod.Annotations, pod.Labels = nil, map[string]string{"app": "web"}
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	c.Client = fake.NewClientset(pod)
	c.Services = func() []target.Service {
		return []target.Service{{
			Namespace: "shop", Name: "front", Labels: map[string]string{"app": "web"}, Selector: map[string]string{"app": "web"},
			Ports: []target.ServicePort{{Name: "metrics", Target: "http"}},
		}}
	}
	c.Monitors = monitorsAPI(monitor())
	r := New(c)
	run(t, r)
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(query(r, `orders_total{job="front",pod="web",endpoint="metrics",team="a"}`), `"42"]`); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %s, %+v", query(r, "orders_total"), r.Status())
		}
		r.Wake()
	}
	if got := query(r, "noise_total"); strings.Contains(got, "metric") {
		t.Errorf("a dropped series is stored: %s", got)
	}
	if s := r.Status(); len(s.Problems) != 0 || len(s.Notes) != 1 || s.Notes[0] != "Metrics: ServiceMonitor shop/web: endpoint 0: honorLabels ignored." {
		t.Errorf("problems %q, notes %q", s.Problems, s.Notes)
	}
}

// The definition of monitors is created and deleted while a recorder watches.
func TestMonitorsComeAndGoWithTheirDefinition(t *testing.T) {
	api := monitorsAPI(monitor())
	var absent atomic.Bool
	asked := make(chan struct{}, 100)
	absent.Store(true)
	missing := apierrors.NewNotFound(schema.GroupResource{Group: target.MonitorGroup, Resource: "servicemonitors"}, "")
	api.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		select {
		case asked <- struct{}{}:
		default:
		}
		return absent.Load(), nil, missing
	})
	streams := make(chan *watch.FakeWatcher, 100)
	api.PrependWatchReactor("*", func(clienttesting.Action) (bool, watch.Interface, error) {
		stream := watch.NewFake()
		streams <- stream
		return true, stream, nil
	})
	monitors := mirror[target.Monitor]{reduce: reducedMonitor}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		followMonitors(ctx, api, target.ServiceMonitor, &monitors, wait.Backoff{Duration: time.Millisecond})
	}()
	for range 3 {
		<-asked
	}
	if got := monitors.all(); len(got) != 0 {
		t.Errorf("without a definition: %+v", got)
	}
	absent.Store(false)
	stream := <-streams // it begins after the list
	if got := monitors.all(); len(got) != 1 || got[0].Name != "web" || len(got[0].Endpoints) != 1 {
		t.Errorf("with a definition: %+v", got)
	}
	absent.Store(true)
	stream.Error(&apierrors.NewResourceExpired("").ErrStatus) // the API server forgot the kind
	for len(monitors.all()) != 0 {
		<-asked
	}
	cancel()
	<-done
}

func TestAChangedIntervalIsFollowed(t *testing.T) {
	rounds := newRounds(config(t, "127.0.0.1:1"))
	of := target.Target{URL: "http://10.244.1.5:8080/metrics"}
	for _, every := range []int{1, 4} {
		of.Every = every
		if failed := rounds.follow(t.Context(), time.Now(), discards{}, []target.Target{of}, nil); len(failed) != 0 {
			t.Fatal(failed)
		}
		if got := rounds.scrapers[of.Key()].Target.Every; got != every || len(rounds.scrapers) != 1 {
			t.Errorf("every %d rounds, want %d; %d targets", got, every, len(rounds.scrapers))
		}
	}
}

func TestAHugeMonitorIsNotRead(t *testing.T) {
	huge := monitor()
	huge.Object["spec"] = map[string]any{"jobLabel": strings.Repeat("x", maxSpec), "selector": map[string]any{}}
	got, err := reducedMonitor(huge)
	if err != nil || len(got.Endpoints) != 0 || len(got.Problems) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTooManySeriesOfAPodAreShown(t *testing.T) {
	round := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		round++
		for i := range 1500 {
			fmt.Fprintf(w, "changes{round=\"%d\",i=\"%d\"} 1\n", round, i)
		}
	}))
	defer server.Close()
	c := config(t, server.Listener.Addr().String())
	r := New(c)
	opened, err := r.open(c.Settings(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := r.pods.Replace([]any{annotated()}, ""); err != nil {
		t.Fatal(err)
	}
	rounds := newRounds(c)
	defer rounds.close()
	for i := range 10 {
		if err := r.round(t.Context(), rounds); err != nil {
			t.Fatal(err)
		}
		problems := strings.Join(r.Status().Problems, "\n")
		if full := strings.Contains(problems, "pod shop/web has too many series at http://10.244.1.5:8080/metrics: 1500 samples of its last answer were not recorded."); full != (i >= 2) {
			t.Errorf("round %d: %q", i, problems)
		}
	}
	if n := opened.Series(); n > 3100 {
		t.Errorf("%d series", n)
	}
}
