package e2e

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	host "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

// testRegistry pushes images to the user's registry and lets nodes pull them, and
// those of another registry on this host. It needs the nodes for itself.
func testRegistry(t *testing.T, r *rig, name string, k *kube) {
	base := r.busybox(t)
	status := r.registry(t)
	contains(t, "clusters that use the registry", strings.Join(status.Clusters, " "), name)
	contains(t, "announcement", k.kubectl(t, "get", "configmap", "--namespace", "kube-public", "local-registry-hosting", "-o", "yaml"), "host: "+status.Address)

	app := status.Address + "/e2e/app"
	push(t, app+":1", base)
	for _, n := range k.workers {
		k.runs(t, "pushed-"+n.name, n.name, app+":1")
	}
	contains(t, "registry list", r.skiff(t, "registry", "list"), app+":1")
	r.nodesOnlyPull(t, name)

	r.subtest(t, "PullThrough", func(t *testing.T) { testPullThrough(t, r, name, k, base) })
	r.subtest(t, "NodeRestarted", func(t *testing.T) {
		r.skiff(t, "restart", "--cluster", name, k.workers[0].name)
		push(t, app+":2", changed(t, base))
		k.runs(t, "restarted", k.workers[0].name, app+":2")
	})
	r.subtest(t, "NodeAdded", func(t *testing.T) {
		r.skiff(t, "up", name, "--workers", "3", "--kubeconfig", "none")
		k.runs(t, "added", "worker-3", app+":2")
		r.skiff(t, "up", name, "--workers", "2", "--kubeconfig", "none")
	})
	r.subtest(t, "RegistryKilled", func(t *testing.T) {
		killed := r.registry(t)
		kill(t, killed.PID)
		eventually(t, waitLimit, "the registry runs again and the cluster uses it", func() error {
			var again registryapi.Status
			a := r.trySkiff(t, "registry", "status", "-o", "json")
			if json.Unmarshal([]byte(a.stdout), &again) != nil || again.PID == killed.PID || len(again.Clusters) == 0 {
				return fmt.Errorf("%s%s", a.stdout, a.stderr)
			}
			return nil
		})
		k.runs(t, "after-kill", k.workers[1].name, app+":2")
	})
	r.subtest(t, "DaemonKilled", func(t *testing.T) {
		kill(t, r.status(t, name).DaemonPID)
		r.skiff(t, "up", name, "--kubeconfig", "none")
		push(t, app+":3", changed(t, base))
		k.runs(t, "after-daemon", k.workers[0].name, app+":3")
	})
	contains(t, "prune", r.skiff(t, "prune", "--dry-run"), "would free")
}

// testPullThrough pulls images of a registry on an address of this host, and pulls
// them again when it is gone.
func testPullThrough(t *testing.T, r *rig, name string, k *kube, base v1.Image) {
	own := hostAddress(t)
	if own == "" {
		t.Skip("this host has only loopback addresses")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(own, "0"))
	if err != nil {
		t.Fatal(err)
	}
	other := &httptest.Server{Listener: listener, Config: &http.Server{Handler: host.New(host.Logger(log.New(io.Discard, "", 0)))}}
	other.Start()
	defer other.Close()
	image := listener.Addr().String() + "/team/tool:1"
	push(t, image, changed(t, base))

	r.skiff(t, "up", name, "--insecure-registry", listener.Addr().String(), "--kubeconfig", "none")
	k.runs(t, "first", k.workers[0].name, image)
	other.Close()
	k.runs(t, "second", k.workers[1].name, image)
	contains(t, "registry list", r.skiff(t, "registry", "list"), image)

	// Without the registry a pull fails at once instead of hanging.
	r.skiff(t, "registry", "stop")
	begun := time.Now()
	a := r.trySkiff(t, "nerdctl", "--cluster", name, k.workers[0].name, "--", "pull", "--quiet", "127.0.0.1:1/none:1")
	if a.code == 0 || time.Since(begun) > time.Minute {
		t.Errorf("exit code %d after %s: %s", a.code, time.Since(begun), a.stderr)
	}
	r.skiff(t, "up", name, "--kubeconfig", "none")
	eventually(t, waitLimit, "the cluster uses the registry again", func() error {
		a := r.trySkiff(t, "registry", "status")
		if a.code != 0 || !strings.Contains(a.stdout, name) {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
}

// nodesOnlyPull checks that a node can neither push to the registry nor ask for
// anything but images.
func (r *rig) nodesOnlyPull(t *testing.T, name string) {
	t.Helper()
	gateway := network.Gateway(cluster.Default().Network.Nodes)
	for request, want := range map[string]string{
		"GET /v2/":                        "200 OK",
		"POST /v2/e2e/app/blobs/uploads/": "405",
		"DELETE /v2/e2e/app/manifests/1":  "405",
		"GET /v1/status":                  "404",
		"POST /v1/stop":                   "405",
	} {
		// nc closes the connection with its input, which would end the request.
		line := fmt.Sprintf(`{ printf '%s HTTP/1.0\r\nHost: x\r\n\r\n'; sleep 1; } | nc -w 5 %s %d`, request, gateway, nodeconfig.PortRegistry)
		a := r.trySkiff(t, "shell", "--cluster", name, "worker-1", "--", "sh", "-c", line)
		contains(t, request, a.stdout+a.stderr, want)
	}
}

// registry returns the status of the user's registry.
func (r *rig) registry(t *testing.T) registryapi.Status {
	t.Helper()
	var status registryapi.Status
	r.skiffJSON(t, &status, "registry", "status")
	return status
}

// runs runs a pod of an image on a node and waits until it is Ready.
func (k *kube) runs(t *testing.T, pod, node, image string) {
	t.Helper()
	overrides := fmt.Sprintf(`{"spec": {"nodeName": %q, "terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}]}}`, node)
	begun := time.Now()
	k.kubectl(t, "run", pod, "--image", image, "--image-pull-policy", "Always", "--restart", "Never", "--overrides", overrides, "--", "sleep", "3600")
	k.wait(t, "condition=Ready", "pod/"+pod)
	t.Logf("%s is Ready on %s after %.1f s", image, node, time.Since(begun).Seconds())
	k.kubectl(t, "delete", "pod", pod, "--wait=false")
}

// busybox returns the image of busybox.tar.
func (r *rig) busybox(t *testing.T) v1.Image {
	t.Helper()
	file, err := os.Open(r.image("busybox.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := t.TempDir()
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg || !filepath.IsLocal(header.Name) {
			continue
		}
		content, err := io.ReadAll(archive)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, header.Name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, header.Name), content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// changed returns an image with a further layer of 5 MB.
func changed(t *testing.T, base v1.Image) v1.Image {
	t.Helper()
	layer, err := random.Layer(5<<20, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(base, layer)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func push(t *testing.T, to string, image v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(to, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := remote.Write(ref, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Logf("pushed %s in %.1f s", to, time.Since(begun).Seconds())
}
