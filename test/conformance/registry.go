package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// registry serves the images of an OCI archive, without TLS, on an address of the
// host that nodes can reach,
// (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md).
type registry struct {
	archive string // path
	address string
	server  *http.Server
	tags    map[string]string // digest by "repository:tag", without the host
	blobs   map[string]blob   // by digest
}

// blob is a part of the archive.
type blob struct {
	offset, size int64
	kind         string // media type, of a manifest
}

func serve(archive string) (*registry, error) {
	r := &registry{archive: archive, tags: map[string]string{}, blobs: map[string]blob{}}
	if err := r.index(); err != nil {
		return nil, fmt.Errorf("read %s: %w", archive, err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(hostAddress(), "0"))
	if err != nil {
		return nil, err
	}
	r.address = listener.Addr().String()
	r.server = &http.Server{Handler: http.HandlerFunc(r.answer), ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(listener) }() // ends when the server is closed
	return r, nil
}

func (r *registry) close() error { return r.server.Close() }

// hostAddress returns an IPv4 address of this host other than loopback, which nodes
// cannot reach.
func hostAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, address := range addresses {
		if n, ok := address.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}

// index finds the blobs and names in the archive.
func (r *registry) index() error {
	file, err := os.Open(r.archive)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if sum, ok := strings.CutPrefix(header.Name, "blobs/sha256/"); ok && header.Typeflag == tar.TypeReg {
			offset, err := file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			r.blobs["sha256:"+sum] = blob{offset: offset, size: header.Size, kind: r.blobs["sha256:"+sum].kind}
		}
		if header.Name == "index.json" {
			if err := r.readIndex(reader); err != nil {
				return err
			}
		}
	}
}

func (r *registry) readIndex(content io.Reader) error {
	var index struct {
		Manifests []struct {
			MediaType, Digest string
			Annotations       map[string]string
		}
	}
	if err := json.NewDecoder(content).Decode(&index); err != nil {
		return err
	}
	for _, m := range index.Manifests {
		_, name, _ := strings.Cut(m.Annotations["io.containerd.image.name"], "/")
		r.tags[name] = m.Digest
		b := r.blobs[m.Digest]
		b.kind = m.MediaType
		r.blobs[m.Digest] = b
	}
	return nil
}

// answer serves GET and HEAD of /v2/REPOSITORY/(manifests|blobs)/REFERENCE.
func (r *registry) answer(w http.ResponseWriter, request *http.Request) {
	path := strings.TrimPrefix(request.URL.Path, "/v2/")
	if strings.Trim(path, "/") == "" {
		return
	}
	repository, reference, manifest := strings.Cut(path, "/manifests/")
	if !manifest {
		_, reference, _ = strings.Cut(path, "/blobs/")
	}
	if digest, ok := r.tags[repository+":"+reference]; ok && manifest {
		reference = digest
	}
	b, ok := r.blobs[reference]
	if !ok {
		http.NotFound(w, request)
		return
	}
	file, err := os.Open(r.archive)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = file.Close() }()
	kind := b.kind
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", reference)
	http.ServeContent(w, request, "", time.Time{}, io.NewSectionReader(file, b.offset, b.size))
}
