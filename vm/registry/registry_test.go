package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

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
	// The tag can move to another image.
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

func TestARequestThatIsNotAPullIsRefused(t *testing.T) {
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
	port := int(runtest.FreePort(t))
	first := start(t, h, func(c *Config) { c.Port = port })
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	next, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port+1))
	if err == nil { // otherwise another program has it
		defer next.Close()
	}
	second := start(t, h, func(c *Config) { c.Port = 0 })
	status, err := second.Status(t.Context())
	if err != nil || status.Port <= port || !status.PortTaken {
		t.Errorf("%+v, %v", status, err)
	}
	image, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	meanwhile := status.Address + "/app:1"
	ref, err := name.ParseReference(meanwhile)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	if next != nil {
		next.Close()
	}
	again := start(t, h, func(c *Config) { c.Port = 0 })
	if now, err := again.Status(t.Context()); err != nil || now.Port != status.Port {
		t.Errorf("it moved from port %d to port %d, %v", status.Port, now.Port, err)
	}
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Config{Home: h, Port: port, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a port that the user named and that is in use was replaced")
	}
	taken.Close()
	third := start(t, h, func(c *Config) { c.Port = 0 })
	status, err = third.Status(t.Context())
	if err != nil || status.Port != port || status.PortTaken {
		t.Errorf("%+v, %v", status, err)
	}
	third.use(t, registryapi.Use{Cluster: "dev", Egress: "all"})
	for _, image := range []string{meanwhile, status.Address + "/app:1"} {
		if err := third.pull(t, "dev", image); err != nil {
			t.Error(err)
		}
	}
	if err := third.pull(t, "dev", fmt.Sprintf("localhost:%d/app:1", runtest.FreePort(t))); err == nil {
		t.Error("the registry serves images with a port that it never had")
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
	case <-time.After(time.Minute):
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
