package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"

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
	config := Config{Home: h, Port: freePort(t), Idle: time.Hour, Log: slog.New(slog.DiscardHandler)}
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

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
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
	go func() { ended <- r.Use(ctx, use, func(registryapi.Status) { begun <- struct{}{} }) }()
	select {
	case <-begun:
	case err := <-ended:
		t.Fatal(err)
	}
	end = func() { cancel(); <-ended; ended <- nil }
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

func TestNodesPullWhatTheHostPushed(t *testing.T) {
	r := start(t, newHome(t), nil)
	r.use(t, registryapi.Use{Cluster: "dev", Egress: "none"})
	status, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	app := status.Address + "/team/app:1"
	ref, err := name.ParseReference(app)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	if err := r.pull(t, "dev", app); err != nil {
		t.Error(err)
	}
	if err := r.pull(t, "stranger", app); err == nil {
		t.Error("a cluster that does not use the registry pulled from it")
	}
	images, err := r.Images(t.Context())
	if err != nil || len(images) != 1 || images[0].Name != app || images[0].Kind != registryapi.Pushed {
		t.Errorf("images: %v, %v", images, err)
	}
}

func TestImagesOfOtherRegistriesAreServedWithoutThem(t *testing.T) {
	r := start(t, newHome(t), nil)
	o, image := newOther(t, false)
	r.use(t, registryapi.Use{Cluster: "dev", Egress: "all", Mirrors: []string{"hub.invalid=" + o.server.URL}})
	if err := r.pull(t, "dev", "hub.invalid/library/app:1"); err != nil {
		t.Fatal(err)
	}
	asked := o.requests.Load()
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.pull(t, "dev", "hub.invalid/library/app@"+digest.String()); err != nil || o.requests.Load() != asked {
		t.Errorf("by digest: %v, %d more requests", err, o.requests.Load()-asked)
	}
	// A tag may mean another image now.
	newer, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	o.push(t, "library/app:1", newer)
	if err := r.pull(t, "dev", "hub.invalid/library/app:1"); err != nil {
		t.Error(err)
	}
	images, err := r.Images(t.Context())
	want, _ := newer.Digest()
	if err != nil || len(images) != 1 || images[0].Name != "hub.invalid/library/app:1" || images[0].Digest != want.String() {
		t.Errorf("images: %v, %v; want %s", images, err, want)
	}
	o.server.Close()
	for range 2 { // the second time also after a restart
		if err := r.pull(t, "dev", "hub.invalid/library/app:1"); err != nil {
			t.Errorf("offline: %v", err)
		}
		if err := r.pull(t, "dev", "hub.invalid/other:1"); err == nil || !strings.Contains(err.Error(), "502") {
			t.Errorf("an image that is not in the cache: %v", err)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r = start(t, r.home, nil)
		r.use(t, registryapi.Use{Cluster: "dev", Egress: "all", Mirrors: []string{"hub.invalid=" + o.server.URL}})
	}
	freed, err := r.Prune(t.Context(), registryapi.PruneRequest{})
	if err != nil || freed.CachedBytes < 6000 {
		t.Errorf("prune: %+v, %v", freed, err)
	}
	if err := r.pull(t, "dev", "hub.invalid/library/app:1"); err == nil {
		t.Error("pulled after prune")
	}
}

func TestCredentialsAreThoseOfDocker(t *testing.T) {
	r := start(t, newHome(t), nil)
	o, _ := newOther(t, false)
	o.user, o.password = "alice", "secret"
	docker := t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	t.Setenv("HOME", docker)
	r.use(t, registryapi.Use{Cluster: "dev", Egress: "all", Mirrors: []string{"hub.invalid=" + o.server.URL}})
	if err := r.pull(t, "dev", "hub.invalid/library/app:1"); err == nil {
		t.Errorf("without credentials: %v", err)
	}
	// A program gives them, as on most desktops.
	helper := "#!/bin/sh\nread server\nprintf '{\"ServerURL\":\"%s\",\"Username\":\"alice\",\"Secret\":\"secret\"}' \"$server\"\n"
	if err := os.WriteFile(filepath.Join(docker, "docker-credential-test"), []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", docker+":"+os.Getenv("PATH"))
	config := fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, o.host())
	if err := os.WriteFile(filepath.Join(docker, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.pull(t, "dev", "hub.invalid/library/app:1"); err != nil {
		t.Errorf("with a helper: %v", err)
	}
}

func TestACertificateIsVerifiedUnlessTheRegistryIsInsecure(t *testing.T) {
	r := start(t, newHome(t), nil)
	o, _ := newOther(t, true)
	mirrors := []string{"hub.invalid=" + o.server.URL}
	r.use(t, registryapi.Use{Cluster: "strict", Egress: "all", Mirrors: mirrors})
	r.use(t, registryapi.Use{Cluster: "lax", Egress: "all", Mirrors: mirrors, Insecure: []string{o.host()}})
	if err := r.pull(t, "strict", "hub.invalid/library/app:1"); err == nil {
		t.Error("pulled from a registry whose certificate nobody signed")
	}
	if err := r.pull(t, "lax", "hub.invalid/library/app:1"); err != nil {
		t.Error(err)
	}
}

func TestNodesDoNotReachServicesOfTheHostThroughTheRegistry(t *testing.T) {
	r := start(t, newHome(t), nil)
	o, _ := newOther(t, false)
	port := strings.TrimPrefix(o.host(), "127.0.0.1:")
	// Redirections and token servers are named by others.
	redirect := httptest.NewServer(http.RedirectHandler(o.server.URL+"/v2/library/app/manifests/1", http.StatusFound))
	t.Cleanup(redirect.Close)
	r.use(t, registryapi.Use{Cluster: "dev", Egress: "all", Insecure: []string{o.host(), "localhost:" + port, "x.localhost:" + port}, Mirrors: []string{"hub.invalid=" + redirect.URL}})
	r.use(t, registryapi.Use{Cluster: "none", Egress: "none", Mirrors: []string{"hub.invalid=" + o.server.URL}})
	before := o.requests.Load()
	for cluster, images := range map[string][]string{
		"dev": {
			o.host() + "/library/app:1", "localhost:" + port + "/library/app:1", "x.localhost:" + port + "/library/app:1",
			"169.254.169.254/library/app:1", "hub.invalid/library/app:1",
		},
		"none": {"hub.invalid/library/app:1"},
	} {
		for _, image := range images {
			if err := r.pull(t, cluster, image); err == nil {
				t.Errorf("%s, %s: %v", cluster, image, err)
			}
		}
	}
	if o.requests.Load() != before {
		t.Error("a service on the host's loopback was asked")
	}
}

func TestARequestThatIsNoPullIsRefused(t *testing.T) {
	r := start(t, newHome(t), nil)
	r.use(t, registryapi.Use{Cluster: "dev", Egress: "all"})
	for _, path := range []string{
		"app/manifests/", "app/manifests/../../x", "app/blobs/latest", "app/tags/list", "_catalog", "APP/manifests/1",
		"app/manifests/" + strings.Repeat("x", 200), "/manifests/1", "manifests/1", "a%2f..%2fb/manifests/1",
	} {
		if _, err := r.fetch("dev", "hub.invalid", path); err == nil || !strings.Contains(err.Error(), "404") && !strings.Contains(err.Error(), "30") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, registry := range []string{"", "a b", "http://x", "x/y", "../x", "x@y", "[::1]:80"} {
		if _, err := r.fetch("dev", registry, "app/manifests/1"); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("ns=%s: %v", registry, err)
		}
	}
}

func TestOnlyProgramsOfThisHostPush(t *testing.T) {
	r := start(t, newHome(t), nil)
	status, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(change func(*http.Request)) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+status.Address+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(request)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	for what, test := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"a program":               {func(*http.Request) {}, 200},
		"by address":              {func(q *http.Request) { q.Host = "127.0.0.1:5001" }, 200},
		"a web page":              {func(q *http.Request) { q.Header.Set("Origin", "https://example.com") }, 403},
		"a page without CORS":     {func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"a name of somebody else": {func(q *http.Request) { q.Host = "attacker.example:5001" }, 403},
	} {
		if got := ask(test.change); got != test.want {
			t.Errorf("%s: %d, want %d", what, got, test.want)
		}
	}
}

func TestASecondRegistryIsRefused(t *testing.T) {
	r := start(t, newHome(t), nil)
	err := Run(t.Context(), Config{Home: r.home, Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, home.ErrLocked) {
		t.Errorf("%v", err)
	}
}

func TestThePortStaysAndTheNextOneIsTakenIfItIsInUse(t *testing.T) {
	h := newHome(t)
	port := freePort(t)
	first := start(t, h, func(c *Config) { c.Port = port })
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	second := start(t, h, func(c *Config) { c.Port = 0 })
	status, err := second.Status(t.Context())
	if err != nil || status.Port <= port || !status.PortTaken {
		t.Errorf("%+v, %v", status, err)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Config{Home: h, Port: port, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a port that the user named and that is in use was replaced")
	}
	taken.Close()
	status, err = start(t, h, func(c *Config) { c.Port = 0 }).Status(t.Context())
	if err != nil || status.Port != port || status.PortTaken {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestTheRegistryRunsAsLongAsAClusterUsesIt(t *testing.T) {
	r := start(t, newHome(t), func(c *Config) { c.Idle = 200 * time.Millisecond })
	end := r.use(t, registryapi.Use{Cluster: "dev", Egress: "all"})
	again := r.use(t, registryapi.Use{Cluster: "dev", Egress: "none"}) // changed settings
	end()
	select {
	case err := <-r.ended:
		t.Fatalf("ended while it was used: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	again()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still running without users")
	}
}

func TestUsersLearnThatTheUserStoppedTheRegistry(t *testing.T) {
	r := start(t, newHome(t), nil)
	begun, used := make(chan struct{}), make(chan error)
	go func() {
		used <- r.Use(t.Context(), registryapi.Use{Cluster: "dev", Egress: "all"}, func(registryapi.Status) { close(begun) })
	}()
	<-begun
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-used; !errors.Is(err, client.ErrStopped) {
		t.Errorf("%v", err)
	}
	if _, err := r.Status(t.Context()); !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("%v", err)
	}
}
