// Package transport connects components to the API server of the same process.
// Each request goes through the server's whole handler chain with the identity of
// its component, but through no socket and no TLS.
//
// The identity is a value of the request's context, which nothing outside the
// process can set; the server reads it with Identity.
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

// remoteAddress is the client's address in the audit log.
const remoteAddress = "127.0.0.1:0"

// Server passes requests of clients in this process to one handler. Clients can be
// created and used before Serve; their requests wait for it.
type Server struct {
	once    sync.Once
	ready   chan struct{}
	handler http.Handler // set before ready is closed
}

// NewServer returns a server without a handler.
func NewServer() *Server {
	return &Server{ready: make(chan struct{})}
}

// Serve sets the handler. Only the first call has an effect.
func (s *Server) Serve(h http.Handler) {
	s.once.Do(func() {
		s.handler = h
		close(s.ready)
	})
}

// As returns a client transport whose requests have the identity u.
func (s *Server) As(u user.Info) http.RoundTripper {
	return client{server: s, user: u}
}

type identityKey struct{}

// Identity returns the identity of a request that was sent through As; false for
// other requests.
func Identity(ctx context.Context) (user.Info, bool) {
	u, ok := ctx.Value(identityKey{}).(user.Info)
	return u, ok
}

type client struct {
	server *Server
	user   user.Info
}

// RoundTrip returns once the handler has sent its header. The body of the response
// streams what the handler writes. Closing it, or the end of the request's context,
// ends the handler's context.
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
	// Only the end of the client's context reaches the server, as over a network.
	// Otherwise a handler that calls the server while it serves another request
	// would pass on that request's user and audit event.
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
	// From here only the end of the handler cancels ctx, which is after the header.
	<-stream.header
	if err := stream.aborted(); err != nil {
		return nil, err
	}
	return stream.response(request), nil
}

// incoming converts a client's request into a server's.
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

// panicError confines a handler's panic to its request, as net/http does.
func panicError(failure any) error {
	if err, ok := failure.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return fmt.Errorf("the server aborted the response: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("the server panicked: %v\n%s", failure, debug.Stack())
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		request.Body.Close()
	}
}
