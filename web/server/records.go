package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// maxQuery bounds the body of a query, in bytes.
const maxQuery = 1 << 20

// forwardToDaemon answers a request with the daemon's answer to the same request at
// another path.
func (s *Server) forwardToDaemon(w http.ResponseWriter, r *http.Request, from, to string) {
	out := daemonRequest(r, to+strings.TrimPrefix(r.URL.Path, from))
	if out.Body != nil {
		out.Body = http.MaxBytesReader(w, r.Body, maxQuery)
	}
	answer := &answer{to: w, header: http.Header{}}
	s.config.Daemon.ServeHTTP(answer, out)
	answer.finish()
}

// status asks the daemon for the cluster's status.
func (s *Server) status(r *http.Request) (daemonapi.ClusterStatus, error) {
	var status daemonapi.ClusterStatus
	return status, s.ask(r, daemonapi.PathStatus, nil, &status)
}

// buffered keeps a response.
type buffered struct {
	header  http.Header
	status  int
	content bytes.Buffer
}

func (b *buffered) Header() http.Header               { return b.header }
func (b *buffered) WriteHeader(status int)            { b.status = status }
func (b *buffered) Write(content []byte) (int, error) { return b.content.Write(content) }

// answer passes a response of the daemon on to a browser: as data, and with failures
// in the dashboard's own form.
type answer struct {
	to      http.ResponseWriter
	header  http.Header
	status  int // 0 before the response has begun
	failure bytes.Buffer
}

// maxFailure bounds the text of a failure, in bytes.
const maxFailure = 64 << 10

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	if status < http.StatusBadRequest {
		a.begin()
	}
}

func (a *answer) begin() {
	a.to.Header().Set("Content-Type", inert(a.header.Get("Content-Type")))
	a.to.WriteHeader(a.status)
}

func (a *answer) Write(content []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.status < http.StatusBadRequest {
		return a.to.Write(content)
	}
	if rest := maxFailure - a.failure.Len(); rest > 0 {
		a.failure.Write(content[:min(len(content), rest)])
	}
	return len(content), nil
}

// Unwrap lets the daemon flush a stream.
func (a *answer) Unwrap() http.ResponseWriter { return a.to }

// Flush sends what was written.
func (a *answer) Flush() {
	if a.status != 0 && a.status < http.StatusBadRequest {
		_ = http.NewResponseController(a.to).Flush()
	}
}

// finish sends a failure, if the response is one.
func (a *answer) finish() {
	a.WriteHeader(http.StatusOK)
	if a.status < http.StatusBadRequest {
		return
	}
	var known struct {
		Cause string `json:"cause"` // a daemonapi.Failure
		Hint  string `json:"hint"`
		Error string `json:"error"` // the Prometheus API
	}
	_ = json.Unmarshal(a.failure.Bytes(), &known)
	message := known.Cause
	if message == "" {
		message = known.Error
	}
	if message == "" {
		message = strings.TrimSpace(a.failure.String())
	}
	if a.status == http.StatusNotFound && known.Cause == "" && known.Error == "" {
		message = "this cluster keeps no such data"
	}
	fail(a.to, a.status, message, known.Hint)
}
