package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/registry/pushed"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 1 << 20

// pruneGrace is how old an untagged image must be to be pruned: it may be part of
// one that is being pushed.
const pruneGrace = time.Minute

// control serves what the unix socket offers.
func (r *registry) control(life context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+registryapi.PathStatus, func(w http.ResponseWriter, _ *http.Request) { jsonhttp.Write(w, r.describe()) })
	mux.HandleFunc("GET "+registryapi.PathImages, r.getImages)
	mux.HandleFunc("POST "+registryapi.PathPrune, r.postPrune)
	mux.HandleFunc("POST "+registryapi.PathKeep, func(w http.ResponseWriter, _ *http.Request) {
		r.users.keep()
		jsonhttp.Write(w, r.describe())
	})
	mux.HandleFunc("POST "+registryapi.PathStop, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		r.users.stop()
	})
	mux.HandleFunc("POST "+registryapi.PathUse, func(w http.ResponseWriter, q *http.Request) { r.postUse(life, w, q) })
	mux.HandleFunc("GET "+registryapi.PathImagesAPI, r.pull)
	return mux
}

func (r *registry) describe() registryapi.Status {
	status := r.users.describe(r.status)
	status.PushedBytes, status.CachedBytes = r.pushed.Bytes(), r.cache.Bytes()
	return status
}

func (r *registry) getImages(w http.ResponseWriter, q *http.Request) {
	images := []registryapi.Image{}
	pushes, err := r.pushed.Images(q.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, image := range pushes {
		images = append(images, registryapi.Image{Name: r.status.Address + "/" + image.Name, Digest: image.Digest, Kind: registryapi.Pushed})
	}
	tags, err := r.cache.Tags()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, tag := range tags {
		images = append(images, registryapi.Image{Name: tag.Name, Digest: tag.Digest.String(), Kind: registryapi.Cached, Seen: tag.Seen})
	}
	jsonhttp.Write(w, images)
}

func (r *registry) postPrune(w http.ResponseWriter, q *http.Request) {
	var request registryapi.PruneRequest
	if !readJSON(w, q, &request) {
		return
	}
	var result registryapi.Pruned
	var err error
	if result.PushedBytes, err = r.pushed.Collect(q.Context(), pushed.Options{
		DryRun: request.DryRun, All: request.All, Untagged: pruneGrace,
	}); err == nil {
		result.CachedBytes, err = r.cache.Clear(request.DryRun)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	jsonhttp.Write(w, result)
}

// postUse lets a cluster use the registry until its connection or the registry ends.
func (r *registry) postUse(life context.Context, w http.ResponseWriter, q *http.Request) {
	var use registryapi.Use
	if !readJSON(w, q, &use) {
		return
	}
	remove, err := r.users.add(use)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer remove()
	r.log.Info("a cluster uses the registry", "cluster", use.Cluster)
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder, flush := json.NewEncoder(w), http.NewResponseController(w)
	if encoder.Encode(r.describe()) != nil || flush.Flush() != nil {
		return
	}
	select {
	case <-q.Context().Done():
	case <-life.Done():
		if status := r.describe(); status.Stopping {
			_ = encoder.Encode(status)
		}
	}
}

// readJSON reads a request. If it is invalid, readJSON answers with the error and
// returns false.
func readJSON(w http.ResponseWriter, q *http.Request, value any) bool {
	if err := jsonhttp.Decode(http.MaxBytesReader(w, q.Body, maxRequest), value); err != nil {
		http.Error(w, fmt.Sprintf("read the request: %v", err), http.StatusBadRequest)
		return false
	}
	return true
}
