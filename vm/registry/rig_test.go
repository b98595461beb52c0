package registry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/registry/pushed"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

// running is a registry and a client of it.
type running struct {
	*client.Client
	home  home.Home
	stop  func() error // ends it as SIGTERM does
	ended chan error
}

// start runs a registry in a home, on a free port.
func start(t *testing.T, h home.Home, change func(*Config)) *running {
	t.Helper()
	logrus.SetOutput(io.Discard)
	config := Config{Home: h, Port: int(runtest.FreePort(t)), Idle: time.Hour, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Client: client.New(h, nil), home: h, ended: make(chan error, 1)}
	r.stop = func() error { cancel(); return <-r.ended }
	go func() {
		r.ended <- Run(ctx, config)
		close(r.ended)
	}()
	t.Cleanup(func() { _ = r.stop() })
	for {
		if _, err := r.Status(t.Context()); err == nil {
			return r
		}
		select {
		case err := <-r.ended:
			t.Fatalf("the registry ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// newHome returns a home whose socket's path is short enough.
func newHome(t *testing.T) home.Home {
	t.Helper()
	dir, err := os.MkdirTemp("", "skiff-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return home.Home(dir)
}

// use lets a cluster use the registry until the test or the returned function ends
// it.
func (r *running) use(t *testing.T, use registryapi.Use) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		defer close(ended)
		ended <- r.Use(ctx, use, func(registryapi.Status) { begun <- struct{}{} })
	}()
	select {
	case <-begun:
	case err := <-ended:
		t.Fatal(err)
	}
	end = func() {
		cancel()
		for range ended { // until it is closed
		}
	}
	t.Cleanup(end)
	return end
}

// pull asks for an image as containerd does, and reads all of it.
func (r *running) pull(t *testing.T, cluster, image string) error {
	t.Helper()
	ref, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	registry := ref.Context().RegistryStr()
	manifest, err := r.fetch(cluster, registry, ref.Context().RepositoryStr()+"/manifests/"+ref.Identifier())
	if err != nil {
		return err
	}
	parsed, err := v1.ParseManifest(strings.NewReader(string(manifest)))
	if err != nil {
		return err
	}
	for _, part := range append(parsed.Layers, parsed.Config) {
		content, err := r.fetch(cluster, registry, ref.Context().RepositoryStr()+"/blobs/"+part.Digest.String())
		if err != nil {
			return err
		}
		if got, _, _ := v1.SHA256(strings.NewReader(string(content))); got != part.Digest {
			return fmt.Errorf("%s has other content", part.Digest)
		}
	}
	return nil
}

func (r *running) fetch(cluster, registry, path string) ([]byte, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return r.Dial(ctx) }}
	request, err := http.NewRequest(http.MethodGet, "http://registry/v2/"+path+"?ns="+url.QueryEscape(registry), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(registryapi.HeaderCluster, cluster)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", path, response.Status, content)
	}
	return content, err
}

// other is another registry.
type other struct {
	server   *httptest.Server
	requests atomic.Int32
	user     string // whom it serves; empty is everybody
	password string
}

// newOther runs a registry with an image, library/app:1, which may have TLS. Tests
// make it the mirror of hub.invalid, a name that never exists (RFC 2606).
func newOther(t *testing.T, tls bool) (*other, v1.Image) {
	t.Helper()
	store, err := pushed.New(t.Context(), pushed.Config{Dir: t.TempDir(), LimitBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	o := &other{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.requests.Add(1)
		user, password, _ := r.BasicAuth()
		if o.user != "" && (user != o.user || password != o.password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		store.ServeHTTP(w, r)
	})
	if tls {
		o.server = httptest.NewTLSServer(handler)
	} else {
		o.server = httptest.NewServer(handler)
	}
	t.Cleanup(o.server.Close)
	image, err := random.Image(2000, 3)
	if err != nil {
		t.Fatal(err)
	}
	o.push(t, "library/app:1", image)
	return o, image
}

func (o *other) host() string {
	_, host, _ := strings.Cut(o.server.URL, "://")
	return host
}

func (o *other) push(t *testing.T, to string, image v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(o.host() + "/" + to)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithTransport(o.server.Client().Transport)); err != nil {
		t.Fatal(err)
	}
}
