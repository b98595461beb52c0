package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// highWater is how many bytes a handler may be ahead of its reader before its
// writes block, which bounds the memory that a slow client can use.
const highWater = 256 << 10

// stream is the server's ResponseWriter and the client's response body.
type stream struct {
	cancel context.CancelFunc // ends the handler's context
	header chan struct{}      // closed once status and sent are final

	mu     sync.Mutex
	wake   sync.Cond   // signals that buffer, err or closed has changed
	set    http.Header // the handler's
	sent   http.Header // copy of set at the time of the header
	status int         // 0 before the header
	buffer []byte      // written and not yet read
	read   int         // bytes of buffer already read
	err    error       // no more writes: io.EOF, or why the handler was aborted
	closed bool        // the reader is gone
	notify chan bool   // created by CloseNotify
}

func newStream(cancel context.CancelFunc) *stream {
	s := &stream{cancel: cancel, header: make(chan struct{}), set: http.Header{}}
	s.wake.L = &s.mu
	return s
}

// Header implements http.ResponseWriter.
func (s *stream) Header() http.Header { return s.set }

// WriteHeader implements http.ResponseWriter.
func (s *stream) WriteHeader(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeHeader(status)
}

func (s *stream) writeHeader(status int) {
	if s.status != 0 || status < http.StatusOK {
		return
	}
	s.status = status
	s.sent = s.set.Clone()
	close(s.header)
}

// Write implements http.ResponseWriter. It blocks while the reader is more than
// highWater behind, and fails once the reader has closed the body.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeHeader(http.StatusOK)
	for !s.closed && s.err == nil && len(s.buffer)-s.read > highWater {
		s.wake.Wait()
	}
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	if s.err != nil {
		return 0, http.ErrHandlerTimeout
	}
	if s.read > 0 && s.read == len(s.buffer) {
		s.buffer, s.read = s.buffer[:0], 0
	}
	s.buffer = append(s.buffer, p...)
	s.wake.Broadcast()
	return len(p), nil
}

// Flush implements http.Flusher. Written data is readable at once in any case.
func (s *stream) Flush() { s.WriteHeader(http.StatusOK) }

// CloseNotify implements http.CloseNotifier, by which the API server's filters
// recognize a writer that streams.
func (s *stream) CloseNotify() <-chan bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notify == nil {
		s.notify = make(chan bool, 1)
		if s.closed {
			s.notify <- true
		}
	}
	return s.notify
}

// finish ends the body. If the handler was canceled, the body ends with that error,
// so that an incomplete one does not look complete.
func (s *stream) finish(cancelled error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeHeader(http.StatusOK)
	if cancelled == nil {
		cancelled = io.EOF
	}
	s.end(cancelled)
}

func (s *stream) abort(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(err)
	if s.status == 0 {
		s.status = -1
		close(s.header)
	}
}

func (s *stream) end(err error) {
	if s.err == nil {
		s.err = err
	}
	s.wake.Broadcast()
}

// aborted returns why the handler was aborted before its header, or nil.
func (s *stream) aborted() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status < 0 {
		return s.err
	}
	return nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && s.err == nil && s.read == len(s.buffer) {
		s.wake.Wait()
	}
	if s.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if s.read == len(s.buffer) {
		return 0, s.err
	}
	n := copy(p, s.buffer[s.read:])
	s.read += n
	if s.read == len(s.buffer) {
		s.empty()
	}
	s.wake.Broadcast()
	return n, nil
}

// empty discards what was read, and a large buffer as well: most streams are watches
// that are silent after their first events.
func (s *stream) empty() {
	if cap(s.buffer) > 4<<10 {
		s.buffer = nil
	}
	s.buffer, s.read = s.buffer[:0], 0
}

// Close implements io.Closer and ends the handler's context.
func (s *stream) Close() error {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.buffer, s.read = nil, 0
		if s.notify != nil {
			s.notify <- true
		}
		s.wake.Broadcast()
	}
	return nil
}

func (s *stream) response(request *http.Request) *http.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	length := int64(-1)
	if n, err := strconv.ParseInt(s.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		Status:     strconv.Itoa(s.status) + " " + http.StatusText(s.status),
		StatusCode: s.status,
		Proto:      "HTTP/2.0", ProtoMajor: 2,
		Header:        s.sent,
		Body:          body{stream: s, stop: s.watch(request.Context())},
		ContentLength: length,
		Request:       request,
	}
}

// watch ends reads when the request's context ends. Waiting for the handler is not
// enough, because it may ignore its context.
func (s *stream) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !errors.Is(s.err, io.EOF) {
			s.err = context.Cause(ctx)
		}
		s.wake.Broadcast()
	})
}

// body is the client's end of a stream. Closing it also stops watching the request's
// context.
type body struct {
	*stream
	stop func() bool
}

// Close implements io.Closer.
func (b body) Close() error {
	b.stop()
	return b.stream.Close()
}
