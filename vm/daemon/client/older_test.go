package client_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/image"
)

// Daemons outlive an update of the program, and refuse fields that they do not know.
func TestAnOlderDaemonIsExplained(t *testing.T) {
	h := shortHome(t)
	if err := h.Cluster("demo").Create(); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", h.Cluster("demo").Socket())
	if err != nil {
		t.Fatal(err)
	}
	var answer atomic.Value
	older := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == daemonapi.PathUpgrade && answer.Load() == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, answer.Load().(string))
	})}
	go func() { _ = older.Serve(socket) }()
	t.Cleanup(func() { _ = older.Close() })
	c := client.New(client.Config{Home: h, Name: "demo", ImageDir: imageDir(t)})
	wantOlder := func(err error) {
		t.Helper()
		var failure *daemonapi.Failure
		if !errors.As(err, &failure) || !strings.Contains(failure.Cause, "started by an older skiff") || !strings.Contains(failure.Hint, "skiff stop demo") {
			t.Errorf("%v", err)
		}
	}
	wantOlder(c.Upgrade(t.Context(), "1.36", daemonapi.Draining{}, ignore)) // a path that it does not know
	answer.Store(`{"cause":"` + image.ErrOther.Error() + `: /image","invalid":true}`)
	wantOlder(c.Upgrade(t.Context(), "1.36", daemonapi.Draining{}, ignore))
	for cause, explained := range map[string]bool{
		`json: unknown field \"page\"`:                                        true,
		`read the cluster's configuration: json: unknown field \"repair\"`:    true,
		`kubelet: read the file: json: unknown field \"x\" of the user's own`: false,
		`bad credentials`: false,
	} {
		answer.Store(`{"cause":"` + cause + `","invalid":true}`)
		_, err := c.Dashboard(t.Context(), daemonapi.DashboardRequest{Page: "/page.html"})
		var failure *daemonapi.Failure
		if !errors.As(err, &failure) {
			t.Fatalf("%s: %v", cause, err)
		}
		if got := strings.Contains(failure.Cause, "started by an older skiff") && strings.Contains(failure.Hint, "skiff stop demo"); got != explained || failure.Invalid == explained {
			t.Errorf("%s: %+v", cause, failure)
		}
	}
}
