package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/registry/cache"
	"github.com/skiff-dev/skiff/vm/registry/mirror"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
	"github.com/skiff-dev/skiff/vm/registry/upstream"
)

// pull serves a node's request for a manifest or a blob of any registry. A node that
// gets an error asks that registry itself, so an image that only the node may pull,
// with a secret of the cluster, still works.
func (r *registry) pull(w http.ResponseWriter, q *http.Request) {
	client := r.users.client(q.Header.Get(registryapi.HeaderCluster))
	if client == nil {
		refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE", "the cluster does not use the registry")
		return
	}
	wanted, ok := parsePull(q.URL.Path, q.URL.Query().Get(registryapi.ParameterRegistry))
	switch {
	case q.URL.Path == registryapi.PathImagesAPI:
		jsonhttp.Write(w, struct{}{})
	case !ok:
		refuse(w, http.StatusNotFound, "NAME_INVALID", "this is not the path of a manifest or blob")
	case r.isOwn(wanted.registry):
		r.pushed.ServeHTTP(w, q)
	case wanted.manifest:
		r.pullManifest(w, q, client, wanted)
	default:
		r.pullBlob(w, q, client, wanted)
	}
}

// isOwn reports whether a registry in the name of an image is this one, also at a port that
// it had earlier. Nodes would not reach another registry of the host there.
func (r *registry) isOwn(registry string) bool {
	host, port, err := net.SplitHostPort(registry)
	own := slices.ContainsFunc(r.served, func(served int) bool { return port == strconv.Itoa(served) })
	return err == nil && own && (host == "localhost" || host == "127.0.0.1")
}

// wanted is the manifest or blob that a path of the distribution API names.
type wanted struct {
	registry, repository string
	manifest             bool // else a blob
	reference            string
}

var tag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// parsePull reads /v2/REPOSITORY/manifests/REFERENCE and /v2/REPOSITORY/blobs/DIGEST.
func parsePull(urlPath, registry string) (wanted, bool) {
	rest, reference := path.Split(strings.TrimPrefix(urlPath, registryapi.PathImagesAPI))
	repository, kind := path.Split(strings.TrimSuffix(rest, "/"))
	w := wanted{
		registry: registry, repository: strings.TrimSuffix(repository, "/"),
		manifest: kind == "manifests", reference: reference,
	}
	_, err := digest.Parse(reference)
	valid := err == nil || w.manifest && tag.MatchString(reference)
	return w, valid && (w.manifest || kind == "blobs") && mirror.IsHost(registry) && mirror.IsRepository(w.repository)
}

func (r *registry) pullBlob(w http.ResponseWriter, q *http.Request, client *upstream.Client, want wanted) {
	content, err := r.cache.Open(q.Context(), digest.Digest(want.reference), func(ctx context.Context) (io.ReadCloser, int64, error) {
		return client.Blob(ctx, want.registry, want.repository, digest.Digest(want.reference))
	})
	if err != nil {
		r.failPull(w, want, err)
		return
	}
	defer func() { _ = content.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", want.reference)
	http.ServeContent(w, q, "", time.Time{}, content)
}

func (r *registry) pullManifest(w http.ResponseWriter, q *http.Request, client *upstream.Client, want wanted) {
	d, err := r.resolve(q.Context(), client, want)
	if err != nil {
		r.failPull(w, want, err)
		return
	}
	content, err := r.cache.Open(q.Context(), d, func(ctx context.Context) (io.ReadCloser, int64, error) {
		manifest, err := client.Manifest(ctx, want.registry, want.repository, d.String())
		return io.NopCloser(bytes.NewReader(manifest)), int64(len(manifest)), err
	})
	if err != nil {
		r.failPull(w, want, err)
		return
	}
	defer func() { _ = content.Close() }()
	manifest, err := io.ReadAll(io.LimitReader(content, upstream.MaxManifest))
	if err != nil {
		r.failPull(w, want, err)
		return
	}
	w.Header().Set("Content-Type", mediaType(manifest))
	w.Header().Set("Docker-Content-Digest", d.String())
	http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(manifest))
}

// resolve returns the digest that is wanted. It asks the registry for a tag each time,
// and uses the tag's last digest if the registry cannot be reached.
func (r *registry) resolve(ctx context.Context, client *upstream.Client, want wanted) (digest.Digest, error) {
	if d, err := digest.Parse(want.reference); err == nil {
		return d, nil
	}
	name := fmt.Sprintf("%s/%s:%s", want.registry, want.repository, want.reference)
	last, known := r.cache.Tag(name)
	var d digest.Digest
	var err error
	if known {
		d, err = client.Resolve(ctx, want.registry, want.repository, want.reference)
	} else {
		// Usually the manifest is wanted next.
		var manifest []byte
		if manifest, err = client.Manifest(ctx, want.registry, want.repository, want.reference); err == nil {
			d, err = r.cache.Put(manifest)
		}
	}
	switch {
	case err == nil:
		return d, r.cache.SetTag(name, d)
	case known && errors.Is(err, upstream.ErrUnreachable):
		r.log.Info("using the last digest of a tag", "image", name, "error", err)
		return last, nil
	}
	return "", err
}

// mediaType returns the type that a manifest states, or else the one that it has.
func mediaType(manifest []byte) string {
	var document struct {
		MediaType string          `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
	}
	_ = json.Unmarshal(manifest, &document)
	switch {
	case len(document.MediaType) < 256 && strings.HasPrefix(document.MediaType, "application/") && !strings.ContainsAny(document.MediaType, "\r\n"):
		return document.MediaType
	case document.Manifests != nil:
		return "application/vnd.oci.image.index.v1+json"
	}
	return "application/vnd.oci.image.manifest.v1+json"
}

// failPull answers that the node has to try itself.
func (r *registry) failPull(w http.ResponseWriter, want wanted, err error) {
	if errors.Is(err, upstream.ErrNotFound) || errors.Is(err, cache.ErrDigest) {
		refuse(w, http.StatusNotFound, "NOT_FOUND", err.Error())
		return
	}
	if !errors.Is(err, context.Canceled) {
		r.log.Warn("cannot pull", "registry", want.registry, "repository", want.repository, "reference", want.reference, "error", err)
	}
	refuse(w, http.StatusBadGateway, "UNAVAILABLE", err.Error())
}

// refuse answers an error of the distribution API.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Errors []refusal `json:"errors"`
	}{[]refusal{{code, message}}})
}

type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
