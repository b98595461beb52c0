package client_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// fakeDashboard accepts every kubeconfig but "bad".
type fakeDashboard struct {
	api    http.Handler
	opened atomic.Int32
	closed atomic.Int32
}

func (f *fakeDashboard) Open(_ context.Context, request daemonapi.DashboardRequest) (daemonapi.DashboardLink, error) {
	f.opened.Add(1)
	if string(request.Kubeconfig) == "bad" {
		return daemonapi.DashboardLink{}, &daemonapi.Failure{Cause: "bad credentials", Hint: "use others", Invalid: true}
	}
	return daemonapi.DashboardLink{URL: "http://127.0.0.1/login", User: "jane"}, nil
}

func (f *fakeDashboard) Close() { f.closed.Add(1) }

func TestTheDaemonCarriesTheDashboard(t *testing.T) {
	w, fake := newEnvironment(), &fakeDashboard{}
	w.dashboard = func(api http.Handler, _ *slog.Logger) daemon.Dashboard {
		fake.api = api
		return fake
	}
	r := startRig(t, w, shortHome(t), small("demo"), imageDir(t))
	open := func(kubeconfig string) (daemonapi.DashboardLink, error) {
		return r.client.Dashboard(t.Context(), daemonapi.DashboardRequest{Kubeconfig: []byte(kubeconfig)})
	}
	if _, err := open("good"); err == nil || fake.opened.Load() > 0 {
		t.Errorf("without a cluster: %v", err)
	}
	completed(t, func(ctx context.Context, event func(daemonapi.Event)) error {
		return r.client.Apply(ctx, r.spec, event)
	})
	if link, err := open("good"); err != nil || link.User != "jane" {
		t.Errorf("got %+v, %v", link, err)
	}
	var failure *daemonapi.Failure
	if _, err := open("bad"); !errors.As(err, &failure) || !failure.Invalid || failure.Hint != "use others" {
		t.Errorf("bad credentials: %v", err)
	}
	answer := httptest.NewRecorder()
	fake.api.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, daemonapi.PathStatus, nil))
	if !strings.Contains(answer.Body.String(), `"name":"demo"`) {
		t.Errorf("the daemon's API answered %s", answer.Body)
	}
	completed(t, r.client.Pause)
	if _, err := open("good"); err == nil || !strings.Contains(err.Error(), "is paused") {
		t.Errorf("paused: %v", err)
	}
	if _, err := r.client.Stop(t.Context(), daemonapi.StopRequest{Shutdown: true}, ignore); err != nil {
		t.Fatal(err)
	}
	if n := fake.closed.Load(); n != 1 {
		t.Errorf("the dashboard was closed %d times", n)
	}
	if _, err := open("good"); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("stopped: %v", err)
	}
}

func TestADaemonMayHaveNoDashboard(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	_, err := r.client.Dashboard(t.Context(), daemonapi.DashboardRequest{Kubeconfig: []byte("x")})
	if err == nil || !strings.Contains(err.Error(), "does not know /v1/dashboard") {
		t.Errorf("got %v", err)
	}
}
