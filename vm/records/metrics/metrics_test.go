package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/storage"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/vm/records/metrics/scrape"
	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// annotated is a running pod that asks to be scraped.
func annotated() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Annotations: map[string]string{target.AnnotationScrape: "true", target.AnnotationPort: "8080"}},
		Spec:       corev1.PodSpec{NodeName: "worker-1", Containers: []corev1.Container{{Name: "app"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.1.5", ContainerStatuses: []corev1.ContainerStatus{{Name: "app", RestartCount: 3, Ready: true}}},
	}
}

// config returns the configuration of a recorder of one pod, which is reached at address.
func config(t *testing.T, address string) Config {
	return Config{
		Dir: filepath.Join(t.TempDir(), "metrics"), Settings: func() Settings { return Settings{Keep: time.Hour, MaxBytes: 100 << 20} },
		Begin: func(context.Context) (func(), bool) { return func() {}, true },
		Nodes: func(context.Context) []target.Node { return nil },
		Machines: func(context.Context) []target.Machine {
			return []target.Machine{{Node: "worker-1", Running: true, CPUSeconds: 5}}
		},
		Ready: func() map[string]bool { return map[string]bool{"worker-1": true} },
		Network: func() target.Network {
			return target.Network{
				Nodes: map[string]netip.Addr{"worker-1": netip.MustParseAddr("192.168.104.21")},
				Pods:  netip.MustParsePrefix("10.244.0.0/16"),
			}
		},
		Client: fake.NewClientset(annotated()), Monitors: monitorsAPI(),
		Dial: func(ctx context.Context, network, asked string) (net.Conn, error) {
			if asked != "10.244.1.5:8080" {
				return nil, fmt.Errorf("dialed %s", asked)
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		Log: slog.New(slog.DiscardHandler),
	}
}

// monitorsAPI is an API with monitors.
func monitorsAPI(objects ...runtime.Object) *dynamicfake.FakeDynamicClient {
	lists := map[schema.GroupVersionResource]string{}
	for _, kind := range []string{target.ServiceMonitor, target.PodMonitor} {
		lists[schema.GroupVersionResource{Group: target.MonitorGroup, Version: "v1", Resource: strings.ToLower(kind) + "s"}] = kind + "List"
	}
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, objects...)
}

// query returns the result of a query in JSON.
func query(r *Recorder, expression string) string {
	recorded := httptest.NewRecorder()
	r.Handler().ServeHTTP(recorded, httptest.NewRequest(http.MethodGet, "/api/v1/query?query="+url.QueryEscape(expression), nil))
	content, _ := io.ReadAll(recorded.Body)
	return string(content)
}

// run runs a recorder until the test ends.
func run(t *testing.T, r *Recorder) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAnAnnotatedPodIsRecorded(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" || r.Header.Get("Authorization") != "" {
			t.Errorf("asked %s with %v", r.URL, r.Header)
		}
		fmt.Fprint(w, "# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total 42\n")
	}))
	defer pod.Close()
	r := New(config(t, pod.Listener.Addr().String()))
	run(t, r)
	want := `"metric":{"__name__":"orders_total","container":"app","instance":"10.244.1.5:8080","job":"kubernetes-pods","namespace":"shop","node":"worker-1","pod":"web"}`
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(query(r, "orders_total"), want); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %s", query(r, "orders_total"))
		}
		r.Wake()
	}
	for expression, value := range map[string]string{
		`up{pod="web"}`: "1", `kube_pod_container_status_restarts_total{pod="web",container="app"}`: "3",
		`skiff_machine_cpu_seconds_total{node="worker-1"}`: "5", `kube_node_status_condition{condition="Ready"}`: "1",
	} {
		if got := query(r, expression); !strings.Contains(got, `,"`+value+`"]`) {
			t.Errorf("%s: %s", expression, got)
		}
	}
	if s := r.Status(); !s.Recording || s.Series < 5 || len(s.Problems) != 0 {
		t.Errorf("status %+v", s)
	}
	recorded := httptest.NewRecorder()
	r.Handler().ServeHTTP(recorded, httptest.NewRequest(http.MethodGet, "/api/v1/targets", nil))
	if got := recorded.Body.String(); !strings.Contains(got, `"health":"up"`) || !strings.Contains(got, "http://10.244.1.5:8080/metrics") {
		t.Errorf("targets %s", got)
	}
}

func TestRecordingCanBeTurnedOffAndOn(t *testing.T) {
	c := config(t, "127.0.0.1:1")
	var disabled atomic.Bool
	disabled.Store(true)
	c.Settings = func() Settings { return Settings{Disabled: disabled.Load(), Keep: time.Hour, MaxBytes: 100 << 20} }
	r := New(c)
	rounds := newRounds(c)
	step := func(want bool) {
		t.Helper()
		if err := r.round(t.Context(), rounds); err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); s.Recording != want || len(s.Problems) != 0 {
			t.Errorf("status %+v, want recording %t", s, want)
		}
	}
	step(false)
	if got := query(r, "up"); !strings.Contains(got, `"unavailable"`) {
		t.Errorf("while it is off: %s", got)
	}
	if _, err := os.Stat(c.Dir); err == nil {
		t.Error("there are files")
	}
	disabled.Store(false)
	step(true)
	disabled.Store(true)
	step(false)
}

func TestAFullDiskIsShownUntilThereIsRoom(t *testing.T) {
	c := config(t, "127.0.0.1:1")
	free := int64(1 << 30)
	c.FreeBytes = func() int64 { return free }
	r := New(c)
	rounds := newRounds(c)
	defer r.close()
	for _, step := range []struct {
		free int64
		want string
	}{{1 << 30, ""}, {10 << 20, "Metrics are not recorded: "}, {10 << 20, "10 MiB of the 512 MiB"}, {1 << 30, ""}} {
		free = step.free
		if err := r.round(t.Context(), rounds); (err == nil) != (step.want == "") {
			t.Errorf("with %d bytes: %v", step.free, err)
		}
		if problems := strings.Join(r.Status().Problems, "\n"); step.want == "" && problems != "" || !strings.Contains(problems, step.want) {
			t.Errorf("with %d bytes: %q", step.free, problems)
		}
	}
}

// TestAClockThatGoesBackBeginsAgain lets a store be used at a later time first.
func TestAClockThatGoesBackBeginsAgain(t *testing.T) {
	c := config(t, "127.0.0.1:1")
	synctest.Test(t, func(t *testing.T) {
		c.Client = fake.NewClientset()
		future := time.Now().Add(48 * time.Hour)
		wrong := New(c)
		opened, err := wrong.open(c.Settings(), future)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := newRounds(c).record(t.Context(), future, stored{opened}, objects{}, wrong.describe); err != nil {
			t.Fatal(err)
		}
		wrong.close()
		r := New(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(3 * Period)
		synctest.Wait()
		if s := r.Status(); !s.Recording || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "the clock went back") || !strings.Contains(s.Problems[0], c.Dir+".damaged") {
			t.Errorf("status %+v", s)
		}
		if got := query(r, "skiff_machine_running"); !strings.Contains(got, `"1"`) {
			t.Errorf("query: %s", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestATargetThatHangsIsAskedLessOften(t *testing.T) {
	failed := scrape.Result{Err: errors.New("timeout")}
	s := &scraper{Scraper: scrape.Scraper{Target: target.Target{Every: 1}}}
	var waits []int
	for range 10 {
		s.planned(100, failed)
		waits = append(waits, s.next-100)
	}
	if fmt.Sprint(waits) != "[1 2 3 4 5 6 7 8 8 8]" {
		t.Errorf("waits %v", waits)
	}
	if s.planned(100, scrape.Result{}); s.next != 101 {
		t.Errorf("after an answer: %d", s.next)
	}
	own := &scraper{Scraper: scrape.Scraper{Target: target.Target{Every: 4, Identity: target.Recorder}}}
	own.planned(100, failed)
	if own.planned(104, failed); own.next != 108 {
		t.Errorf("the cluster's own: %d", own.next)
	}
}

// discards is a store that keeps nothing.
type discards struct{}

func (discards) Append(context.Context, time.Time, func(storage.Appender) error) error { return nil }
func (discards) Full(bool) bool                                                        { return false }

// Whatever is left of the requests would be found when the test ends.
func TestPodsThatDoNotAnswerDelayNothingAndLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{}, 3) // the targets of a node
		config := config(t, "")
		config.Nodes = func(context.Context) []target.Node {
			return []target.Node{{Name: "worker-1", Address: netip.MustParseAddr("192.168.5.2")}}
		}
		config.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "192.168.5.2:") {
				asked <- struct{}{}
				return nil, net.ErrClosed
			}
			if strings.HasSuffix(address, ":8443") {
				conn, _ := net.Pipe()
				return conn, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var pods []target.Pod
		for i := range target.MaxPodTargets {
			scheme, port := "http", "8080"
			if i%2 == 1 {
				scheme, port = "https", "8443"
			}
			pods = append(pods, target.Pod{
				Name: fmt.Sprint(i), Node: "worker-1", Phase: "Running", Address: netip.AddrFrom4([4]byte{10, 244, 1, byte(i)}),
				Annotations: map[string]string{target.AnnotationScrape: "true", target.AnnotationPort: port, target.AnnotationScheme: scheme},
			})
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, _, err := newRounds(config).record(t.Context(), time.Now(), discards{}, objects{pods: pods}, func(string, string, string) {}); err != nil {
				t.Error(err)
			}
		}()
		begun := time.Now()
		for range cap(asked) {
			<-asked
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("the node was asked after %s", took)
		}
		<-done
	})
}
