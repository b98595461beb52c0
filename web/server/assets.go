package server

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/skiff-dev/skiff/web"
)

// policy is the content security policy of the page at a host: everything comes from
// this server, scripts and style sheets only from below /assets/, and the only inline
// content that is applied are style elements with the nonce.
func policy(host, nonce string) string {
	assets := "http://" + host + pathAssets
	return strings.Join([]string{
		"default-src 'none'",
		"script-src " + assets,
		"style-src " + assets + " 'nonce-" + nonce + "'",
		"img-src 'self' data:",
		"font-src " + assets,
		"connect-src 'self' ws://" + host,
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")
}

// page serves the page of the front end for every path that has no other handler.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		fail(w, http.StatusMethodNotAllowed, r.Method+" is not allowed here", "")
		return
	}
	content, err := s.unpacked(web.Index)
	if err != nil {
		fail(w, http.StatusNotFound, "this skiff was built without the dashboard", "build it with `make build`")
		return
	}
	nonce := rand.Text()
	content = bytes.ReplaceAll(content, []byte(web.Nonce), []byte(nonce))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy(r.Host, nonce))
	if r.Method == http.MethodGet {
		_, _ = w.Write(content)
	}
}

// asset serves a built file. Its name contains a hash of its content, so it never
// changes.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	content, err := fs.ReadFile(s.config.Assets, name+web.Suffix)
	if err != nil {
		fail(w, http.StatusNotFound, "no such file", "")
		return
	}
	header := w.Header()
	header.Set("Content-Type", contentType(name))
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		if content, err = s.unpacked(name); err != nil {
			fail(w, http.StatusInternalServerError, "the file is damaged", "")
			return
		}
	} else {
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Length", fmt.Sprint(len(content)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(content)
	}
}

// unpacked returns the content of a built file.
func (s *Server) unpacked(name string) ([]byte, error) {
	file, err := s.config.Assets.Open(name + web.Suffix)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}

// contentTypes of built files. The host's own table is not used: it may be wrong.
var contentTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
	".png": "image/png", ".woff2": "font/woff2", ".json": "application/json", ".txt": "text/plain; charset=utf-8",
}

func contentType(name string) string {
	if found, ok := contentTypes[path.Ext(name)]; ok {
		return found
	}
	return "application/octet-stream"
}

// inert returns the media type if it is one of plain data, and otherwise that of a
// download, so that browsers neither run nor render the content: what the API server
// sends may come from a pod.
func inert(contentType string) string {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "application/octet-stream"
	}
	data := kind == "text/plain" || kind == "application/yaml" || kind == "application/x-ndjson" || kind == "application/stream+json" ||
		kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json") ||
		strings.HasPrefix(kind, "application/vnd.kubernetes.") || strings.HasPrefix(kind, "application/com.github.proto-openapi.")
	if !data {
		return "application/octet-stream"
	}
	return mime.FormatMediaType(kind, parameters)
}
