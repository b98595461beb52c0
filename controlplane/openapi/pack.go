package openapi

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

// Fetch gets all documents from a server's handler. The keys of the result are a
// document's path and a format's suffix.
func Fetch(h http.Handler) (map[string][]byte, error) {
	files := map[string][]byte{}
	get := func(path, accept string) ([]byte, error) {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.Header.Set("Accept", accept)
		response := httptest.NewRecorder()
		h.ServeHTTP(response, request)
		if response.Code != http.StatusOK {
			return nil, fmt.Errorf("get %s as %s: status %d", path, accept, response.Code)
		}
		return response.Body.Bytes(), nil
	}
	root, err := get(V3, "application/json")
	if err != nil {
		return nil, err
	}
	var listed struct {
		Paths map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(root, &listed); err != nil {
		return nil, fmt.Errorf("parse %s: %w", V3, err)
	}
	names := []string{"v2"}
	for group := range listed.Paths {
		names = append(names, "v3/"+group)
	}
	for _, name := range names {
		version, _, _ := strings.Cut(name, "/")
		for _, f := range formats(version)[:2] {
			if files[name+f.suffix], err = get("/openapi/"+name, f.content); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// Pack makes an archive of the files that Fetch returned. The same files always make
// the same archive.
func Pack(files map[string][]byte) ([]byte, error) {
	etags := index{}
	var names []string
	for name, content := range files {
		names = append(names, name)
		if document, ok := strings.CutSuffix(name, jsonSuffix); ok {
			etags[document] = fmt.Sprintf("%X", sha512.Sum512(content))
		}
	}
	slices.Sort(names)
	encoded, err := json.Marshal(etags)
	if err != nil {
		return nil, fmt.Errorf("encode the index: %w", err)
	}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, flate.BestCompression)
	})
	add := func(name string, content []byte) error {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err == nil {
			_, err = f.Write(content)
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
		return nil
	}
	if err := add(indexName, encoded); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := add(name, files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the OpenAPI documents: %w", err)
	}
	return archive.Bytes(), nil
}
