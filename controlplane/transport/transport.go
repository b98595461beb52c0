// Package transport keeps the components of one process talking to the API
// server as clients like any other: each request goes through the server's
// whole handler chain under the identity of its component, but through no
// socket and no TLS.
//
// A request's identity travels in its context, which nothing outside the
// process can set; Authenticate reads it back on the server's side.
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"

	"k8s.io/apiserver/pkg/authentication/user"
)

// remoteAddress is what the server sees as the client's address, for its audit
// log.
const remoteAddress = "127.0.0.1:0"

// Server hands requests of clients in this process to one handler. Clients may
// be made and used before the handler is there; their requests wait for it.
type Server struct {
	once    sync.Once
	ready   chan struct{}
	handler http.Handler // set before ready is closed
}

// NewServer makes a server without a handler.
func NewServer() *Server {
	return &Server{ready: make(chan struct{})}
}

// Serve lets all requests through to h. Only the first call has an effect.
func (s *Server) Serve(h http.Handler) {
	s.once.Do(func() {
		s.handler = h
		close(s.ready)
	})
}

// As returns a client transport whose requests carry the identity u.
func (s *Server) As(u user.Info) http.RoundTripper {
	return client{server: s, user: u}
}

type identityKey struct{}

// Identity is who sent a request through As; false for requests that came
// another way.
func Identity(ctx context.Context) (user.Info, bool) {
	u, ok := ctx.Value(identityKey{}).(user.Info)
	return u, ok
}

type client struct {
	server *Server
	user   user.Info
}

// RoundTrip returns once the handler has sent its header. The response's body
// streams as the handler writes; closing it, or the end of the request's
// context, ends the handler's context.
func (c client) RoundTrip(request *http.Request) (*http.Response, error) {
	select {
	case <-c.server.ready:
	default:
		select {
		case <-c.server.ready:
		case <-request.Context().Done():
			closeBody(request)
			return nil, context.Cause(request.Context())
		}
	}
	// Of the client's context only its end reaches the server, as over a wire:
	// a handler that asks the server while it serves another request would else
	// hand down that one's user and audit event.
	ctx, end := context.WithCancelCause(context.WithValue(context.Background(), identityKey{}, c.user))
	release := context.AfterFunc(request.Context(), func() { end(context.Cause(request.Context())) })
	cancel := func() {
		release()
		end(nil)
	}
	stream := newStream(cancel)
	go serve(c.server.handler, incoming(ctx, request), stream, cancel)

	select {
	case <-stream.header:
	case <-ctx.Done():
	}
	if err := context.Cause(request.Context()); err != nil {
		_ = stream.Close()
		return nil, err
	}
	// Only the handler's end cancels ctx now, and that comes after the header.
	<-stream.header
	if err := stream.aborted(); err != nil {
		return nil, err
	}
	return stream.response(request), nil
}

// incoming turns a client's request into what a server is handed.
func incoming(ctx context.Context, request *http.Request) *http.Request {
	in := request.Clone(ctx)
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/2.0", 2, 0
	in.RequestURI = request.URL.RequestURI()
	in.RemoteAddr = remoteAddress
	if in.Host == "" {
		in.Host = request.URL.Host
	}
	in.URL.Scheme, in.URL.Host, in.URL.User = "", "", nil
	in.Close = false
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.ContentLength > 0 {
		in.Header.Set("Content-Length", strconv.FormatInt(in.ContentLength, 10))
	}
	return in
}

func serve(h http.Handler, request *http.Request, out *stream, cancel context.CancelFunc) {
	defer cancel()
	defer closeBody(request)
	defer func() {
		if failure := recover(); failure != nil {
			out.abort(panicError(failure))
			return
		}
		out.finish(context.Cause(request.Context()))
	}()
	h.ServeHTTP(out, request)
}

// panicError keeps one handler's panic inside its request, as net/http does.
func panicError(failure any) error {
	if err, ok := failure.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return fmt.Errorf("the server cut the answer short: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("the server panicked: %v\n%s", failure, debug.Stack())
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		request.Body.Close()
	}
}
