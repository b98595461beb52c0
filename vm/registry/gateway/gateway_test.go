package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

// serve runs a gateway in front of a registry, and returns its URL.
func serve(t *testing.T, registry func(context.Context) (net.Conn, error)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- New(Config{Cluster: "dev", Registry: registry, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, listener)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

func TestAPullIsPassedOnInTheNameOfTheCluster(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", "sha256:1")
		for _, name := range []string{registryapi.HeaderCluster, "Accept", "Range", "Authorization", "Cookie", "X-Forwarded-For"} {
			_, _ = io.WriteString(w, name+"="+strings.Join(r.Header[name], ",")+"\n")
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.String())
	}))
	t.Cleanup(behind.Close)
	at := serve(t, func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", behind.Listener.Addr().String())
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/v2/library/app/manifests/1?ns=docker.io", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		registryapi.HeaderCluster: "other", "Accept": "a/b", "Range": "bytes=0-1", "Authorization": "Basic eDp5", "Cookie": "a=b",
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	want := registryapi.HeaderCluster + "=dev\nAccept=a/b\nRange=bytes=0-1\nAuthorization=\nCookie=\nX-Forwarded-For=\nGET /v2/library/app/manifests/1?ns=docker.io"
	if err != nil || string(content) != want || response.Header.Get("Docker-Content-Digest") != "sha256:1" {
		t.Errorf("%v\n%s\nwant\n%s", err, content, want)
	}
}

func TestNodesCanOnlyPull(t *testing.T) {
	at := serve(t, func(context.Context) (net.Conn, error) {
		t.Error("a request was passed on")
		return nil, errors.New("none")
	})
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/v2/app/blobs/uploads/", http.StatusMethodNotAllowed},
		{http.MethodPut, "/v2/app/manifests/1", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/v2/app/manifests/1", http.StatusMethodNotAllowed},
		{http.MethodPost, "/v1/stop", http.StatusMethodNotAllowed},
		{http.MethodGet, "/v1/status", http.StatusNotFound},
		{http.MethodGet, "/v1/images", http.StatusNotFound},
		{http.MethodGet, "/v2/../v1/status", http.StatusNotFound},
		{http.MethodGet, "/v2/%2e%2e/v1/status", http.StatusNotFound},
		{http.MethodGet, "/v2/x/../../v1/images", http.StatusNotFound},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.URL.Opaque = "//x" + test.path // not cleaned
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != test.want {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, response.StatusCode, test.want)
		}
	}
}

func TestARegistryThatIsNotRunningIsAnErrorAtOnce(t *testing.T) {
	at := serve(t, func(context.Context) (net.Conn, error) { return nil, errors.New("not running") })
	begun := time.Now()
	response, err := http.Get(at + "/v2/library/app/manifests/1?ns=docker.io")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadGateway || time.Since(begun) > time.Second {
		t.Errorf("%s after %s", response.Status, time.Since(begun))
	}
}
