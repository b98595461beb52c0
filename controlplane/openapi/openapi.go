// Package openapi serves the API's OpenAPI documents without building them: those of
// built-in types never change within a release, so they are built with the program,
// embedded compressed, and unpacked on request.
//
// Upstream's aggregator requests these documents as it does any other server's, and
// merges custom resources and aggregated APIs into them.
package openapi

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/munnerz/goautoneg"
)

//go:generate go run ./generate

// Paths at which documents are served.
const (
	V2 = "/openapi/v2"
	V3 = "/openapi/v3"
)

// Names in an archive, which has a file for each document and format, and an index.
const (
	indexName    = "index.json"
	jsonSuffix   = ".json"
	binarySuffix = ".pb"
)

// maxDocumentBytes bounds one unpacked document.
const maxDocumentBytes = 64 << 20

// index is each document's ETag by its path: "v2", or "v3/" and a group's path such
// as "apis/apps/v1". It is read without unpacking the documents.
type index map[string]string

// Documents are the documents of one archive.
type Documents struct {
	files map[string]*zip.File
	index index
	root  []byte // the JSON list of the V3 documents
	made  time.Time
}

// Embedded returns the documents of the linked Kubernetes release.
func Embedded() (*Documents, error) { return Open(embedded) }

// Open opens an archive that Pack made.
func Open(archive []byte) (*Documents, error) {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("open the OpenAPI documents: %w", err)
	}
	d := &Documents{files: map[string]*zip.File{}}
	for _, f := range r.File {
		d.files[f.Name] = f
		d.made = f.Modified
	}
	content, err := d.unpack(indexName)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, &d.index); err != nil {
		return nil, fmt.Errorf("parse the index of the OpenAPI documents: %w", err)
	}
	if d.root, err = d.index.root(); err != nil {
		return nil, err
	}
	return d, nil
}

// Paths returns the paths of all documents.
func (d *Documents) Paths() []string {
	var paths []string
	for p := range d.index {
		paths = append(paths, p)
	}
	return paths
}

// JSON returns the document at path in JSON.
func (d *Documents) JSON(path string) ([]byte, error) { return d.unpack(path + jsonSuffix) }

func (d *Documents) unpack(name string) ([]byte, error) {
	f, ok := d.files[name]
	if !ok {
		return nil, fmt.Errorf("no OpenAPI document %s", name)
	}
	if f.UncompressedSize64 > maxDocumentBytes {
		return nil, fmt.Errorf("OpenAPI document %s is too large: %d bytes", name, f.UncompressedSize64)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("open OpenAPI document %s: %w", name, err)
	}
	defer r.Close()
	content := make([]byte, f.UncompressedSize64)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("unpack OpenAPI document %s: %w", name, err)
	}
	// The reader verifies the checksum at the end of the file.
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("unpack OpenAPI document %s: %w", name, errors.Join(err, errors.New("longer than its header says")))
	}
	return content, nil
}

// Mux registers handlers. Upstream's PathRecorderMux implements it.
type Mux interface {
	Handle(path string, handler http.Handler)
	HandlePrefix(prefix string, handler http.Handler)
}

// Install registers handlers for the documents at V2 and V3.
func (d *Documents) Install(m Mux) {
	m.Handle(V2, http.HandlerFunc(d.serveV2))
	m.Handle(V3, http.HandlerFunc(d.serveRoot))
	m.HandlePrefix(V3+"/", http.HandlerFunc(d.serveV3))
}

// format is an encoding of documents.
type format struct{ accept, content, suffix string }

// formats returns the formats of a version. JSON comes first: it is what a client
// without a preference gets.
func formats(version string) []format {
	protobuf := "application/com.github.proto-openapi.spec." + version + "@v1.0+protobuf"
	return []format{
		{"application/json", "application/json", jsonSuffix},
		{protobuf, protobuf, binarySuffix},
		{"application/com.github.proto-openapi.spec." + version + ".v1.0+protobuf", protobuf, binarySuffix},
	}
}

// negotiate returns the format that the client prefers.
func negotiate(accept, version string) (format, bool) {
	if accept == "" {
		accept = "*/*"
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		for _, f := range formats(version) {
			kind, subkind, _ := strings.Cut(f.accept, "/")
			if (clause.Type == kind || clause.Type == "*") && (clause.SubType == subkind || clause.SubType == "*") {
				return f, true
			}
		}
	}
	return format{}, false
}

func (d *Documents) serveV2(w http.ResponseWriter, r *http.Request) {
	d.serve(w, r, "v2", "v2")
}

// serveV3 serves a group's document. A client that asks for another hash is
// redirected; a response to the right hash may be cached forever.
func (d *Documents) serveV3(w http.ResponseWriter, r *http.Request) {
	name := "v3/" + strings.TrimPrefix(r.URL.Path, V3+"/")
	etag, ok := d.index[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if hash := r.URL.Query().Get("hash"); hash != "" {
		if hash != etag {
			http.Redirect(w, r, relativeURL(name, etag), http.StatusMovedPermanently)
			return
		}
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).Format(time.RFC1123))
	}
	d.serve(w, r, name, "v3")
}

func (d *Documents) serve(w http.ResponseWriter, r *http.Request, name, version string) {
	w.Header().Set("Vary", "Accept")
	f, ok := negotiate(r.Header.Get("Accept"), version)
	if !ok {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	w.Header().Set("Etag", strconv.Quote(d.index[name]))
	w.Header().Set("Content-Type", f.content)
	content, err := d.unpack(name + f.suffix)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, "", d.made, bytes.NewReader(content))
}

// serveRoot lists the V3 documents (KEP-2896). Upstream's aggregator requests the
// list frequently.
func (d *Documents) serveRoot(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	http.ServeContent(w, r, "", d.made, bytes.NewReader(d.root))
}

func (i index) root() ([]byte, error) {
	type entry struct {
		ServerRelativeURL string `json:"serverRelativeURL"`
	}
	root := struct {
		Paths map[string]entry `json:"paths"`
	}{Paths: map[string]entry{}}
	for name, etag := range i {
		if group, ok := strings.CutPrefix(name, "v3/"); ok {
			root.Paths[group] = entry{relativeURL(name, etag)}
		}
	}
	content, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("list the OpenAPI documents: %w", err)
	}
	return content, nil
}

func relativeURL(name, etag string) string {
	u := url.URL{Path: path.Join("/openapi", name), RawQuery: url.Values{"hash": {etag}}.Encode()}
	return u.String()
}
