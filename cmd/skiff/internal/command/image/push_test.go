package image

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestOnlyNamesWithARegistryArePushed(t *testing.T) {
	for _, tag := range []string{"localhost:5001/app:1", "ghcr.io/me/app", "docker.io/me/app:1"} {
		if err := checkPush([]string{tag}); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	for _, tag := range []string{"app", "app:1", "me/app:1", "A b"} {
		var failure *daemonapi.Failure
		if err := checkPush([]string{"ghcr.io/me/app", tag}); !errors.As(err, &failure) || !failure.Invalid {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

func TestABuiltImageIsPushedUnderAllItsNames(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	at := strings.TrimPrefix(server.URL, "http://")
	layer, err := oci.Layer([]oci.File{{Path: "app", Mode: 0o755, Data: []byte("program")}})
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	one := oci.Image{Name: at + "/app:1", Arch: "amd64", Layers: [][]byte{layer}, Config: v1.ImageConfig{Cmd: []string{"/app"}}}
	other := one
	other.Name = at + "/team/app:latest"
	if err := errors.Join(oci.Write(file, one, other), file.Close()); err != nil {
		t.Fatal(err)
	}
	digest, err := push(t.Context(), archive, []string{one.Name, other.Name})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{one.Name, other.Name} {
		ref, err := name.ParseReference(text)
		if err != nil {
			t.Fatal(err)
		}
		found, err := remote.Head(ref)
		if err != nil || found.Digest.String() != digest {
			t.Errorf("%s: %v, %v", text, found, err)
		}
	}
	server.Close()
	var failure *daemonapi.Failure
	if _, err := push(t.Context(), archive, []string{one.Name}); !errors.As(err, &failure) || failure.Hint == "" {
		t.Errorf("without a registry: %v", err)
	}
}
