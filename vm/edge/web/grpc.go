package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
)

// Headers that carry the status of a gRPC call.
const (
	grpcStatus  = "Grpc-Status"
	grpcMessage = "Grpc-Message"
)

// isGRPC reports whether a request is a gRPC call.
func isGRPC(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	return r.ProtoMajor == 2 && (kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+") || strings.HasPrefix(kind, "application/grpc;"))
}

// serveGRPC answers with a status and no messages, as gRPC over HTTP/2 specifies.
func (p page) serveGRPC(w http.ResponseWriter) {
	code := codes.Unavailable
	if p.status == http.StatusNotFound {
		code = codes.Unimplemented
	}
	header := w.Header()
	header.Set("Content-Type", "application/grpc")
	header.Set(grpcStatus, strconv.Itoa(int(code)))
	header.Set(grpcMessage, strings.ReplaceAll(p.title, "%", "%25"))
	w.WriteHeader(http.StatusOK)
}

// callBody is the body of an answer to a gRPC call. If the backend ends the answer early,
// the body ends with a status that tells the client to try again. Without it, the reverse
// proxy would reset the stream, which clients take for an internal error.
type callBody struct {
	io.ReadCloser
	response *http.Response
}

// Read implements io.Reader.
func (b *callBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	code, message := codes.Unavailable, "the server ended the call early"
	if errors.Is(context.Cause(b.response.Request.Context()), errLate) {
		code, message = codes.DeadlineExceeded, errLate.Error()
	}
	if b.response.Trailer == nil {
		b.response.Trailer = http.Header{}
	}
	b.response.Trailer.Set(grpcStatus, strconv.Itoa(int(code)))
	b.response.Trailer.Set(grpcMessage, message)
	return n, io.EOF
}
