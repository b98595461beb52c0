package nodeapi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Stream is the kind of a frame.
type Stream byte

// The streams. Host to node: Stdin, StdinClose, Resize. Node to host: Stdout,
// Stderr, Exit, Failure.
const (
	Stdin Stream = iota + 1
	StdinClose
	Resize // payload: rows and columns, two big-endian uint16
	Stdout
	Stderr
	Exit    // payload: exit code, one big-endian int32; the last frame
	Failure // payload: why the program could not be started; the last frame
)

// MaxFrame is the largest payload in bytes.
const MaxFrame = 64 << 10

// ErrFrame is returned for malformed frames.
var ErrFrame = errors.New("malformed exec frame")

// Writer writes frames: a stream byte, a big-endian uint32 length, the payload.
// It may be used by several goroutines.
type Writer struct {
	mu sync.Mutex // guards w, so that frames do not mix
	w  io.Writer
}

// NewWriter returns a Writer onto w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write sends payload in as many frames as necessary, at least one.
func (f *Writer) Write(stream Stream, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		part := payload[:min(len(payload), MaxFrame)]
		buf := make([]byte, 5+len(part))
		buf[0] = byte(stream)
		binary.BigEndian.PutUint32(buf[1:], uint32(len(part)))
		copy(buf[5:], part)
		if _, err := f.w.Write(buf); err != nil {
			return err
		}
		if payload = payload[len(part):]; len(payload) == 0 {
			return nil
		}
	}
}

// Stream returns an io.Writer that writes frames of one stream.
func (f *Writer) Stream(stream Stream) io.Writer { return streamWriter{f, stream} }

type streamWriter struct {
	f      *Writer
	stream Stream
}

func (s streamWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.f.Write(s.stream, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ReadFrame reads one frame. It returns io.EOF only between frames, ErrFrame
// for an unknown stream or a payload above MaxFrame.
func ReadFrame(r io.Reader) (Stream, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	stream, size := Stream(head[0]), binary.BigEndian.Uint32(head[1:])
	if stream < Stdin || stream > Failure {
		return 0, nil, fmt.Errorf("%w: stream %d", ErrFrame, stream)
	}
	if size > MaxFrame {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrFrame, size)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return stream, payload, nil
}
