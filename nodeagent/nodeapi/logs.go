package nodeapi

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// PathTakeLogs takes a POST of a TakeRequest and answers with what log files have beyond what
	// the host read: LogChunks (LogWriter, LogReader), the last of which has End set.
	// The node keeps files that were deleted until the host has stored them, within
	// bounds.
	PathTakeLogs = "/v1/logs/take"
	// MaxTake is the most bytes of files in one answer.
	MaxTake = 8 << 20
	// MaxLogChunk is the most bytes of a file in one chunk.
	MaxLogChunk = 512 << 10
	// MaxTakeRequest is the most bytes of a request, which names every file.
	MaxTakeRequest = 16 << 20
	// MaxTakeWait is how long the node waits for something to answer, in milliseconds.
	MaxTakeWait = 10_000
	// maxChunkHead bounds the description of a chunk, in bytes.
	maxChunkHead = 1 << 20
)

// Sources of log files.
const (
	LogSourceContainer = "container"
	LogSourceProgram   = "program"
	LogSourceAudit     = "audit"
	LogSourceKernel    = "kernel"
)

// TakeRequest asks for log files.
type TakeRequest struct {
	// Files by their ID; the host has read nothing of others.
	Files map[string]LogRead `json:"files,omitempty"`
	// WaitMilliseconds is how long the node waits if there is nothing new.
	WaitMilliseconds int `json:"waitMilliseconds,omitempty"`
}

// LogRead is how much of a file the host has.
type LogRead struct {
	// Read is the offset at which the next chunk begins.
	Read int64 `json:"read"`
	// Stored is the offset up to which the host needs nothing any more.
	Stored int64 `json:"stored"`
	// Final reports that the host has received the final chunk.
	Final bool `json:"final,omitempty"`
}

// LogChunk describes bytes of a file, which follow it.
type LogChunk struct {
	// File is the ID of the file, unique on the node.
	File string `json:"file,omitempty"`
	// Source is one of the LogSource constants.
	Source string `json:"source,omitempty"`
	// Path is that of a container's log below /var/log/pods, or the name of the program.
	Path string `json:"path,omitempty"`
	// Offset is where the bytes begin, Bytes how many follow.
	Offset int64 `json:"offset"`
	Bytes  int   `json:"bytes"`
	// Final means that the file ends with these bytes and will not grow.
	Final bool `json:"final,omitempty"`

	// End marks the last chunk, which has no file but what follows.
	End bool `json:"end,omitempty"`
	// Gone are files of the request that the node does not have any more.
	Gone []string `json:"gone,omitempty"`
	// More means that another request would be answered at once.
	More bool `json:"more,omitempty"`
	// Dropped is what the node had to delete before it was stored.
	Dropped LogsDropped `json:"dropped,omitzero"`
}

// LogsDropped counts what was deleted before the host had stored it, since the node's
// disk was new.
type LogsDropped struct {
	Files int64 `json:"files,omitempty"`
	Lines int64 `json:"lines,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
}

// LogWriter writes chunks.
type LogWriter struct{ w io.Writer }

// NewLogWriter returns a LogWriter to w.
func NewLogWriter(w io.Writer) *LogWriter { return &LogWriter{w} }

// Write writes a chunk and its data.
func (w *LogWriter) Write(chunk LogChunk, data []byte) error {
	chunk.Bytes = len(data)
	head, err := json.Marshal(chunk)
	if err != nil {
		return err
	}
	if _, err := w.w.Write(append(head, '\n')); err != nil {
		return err
	}
	_, err = w.w.Write(data)
	return err
}

// LogReader reads chunks, which a guest wrote.
type LogReader struct {
	r    *bufio.Reader
	data []byte
}

// NewLogReader returns a LogReader of r.
func NewLogReader(r io.Reader) *LogReader { return &LogReader{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next chunk and its data, which is valid until the next call.
func (r *LogReader) Next() (LogChunk, []byte, error) {
	var head []byte
	for {
		part, err := r.r.ReadSlice('\n')
		head = append(head, part...)
		if len(head) > maxChunkHead {
			return LogChunk{}, nil, fmt.Errorf("read a log chunk: its header has more than %d bytes", maxChunkHead)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return LogChunk{}, nil, fmt.Errorf("read a log chunk: %w", noEOF(err))
		}
	}
	var chunk LogChunk
	if err := json.Unmarshal(head, &chunk); err != nil {
		return LogChunk{}, nil, fmt.Errorf("decode a log chunk: %w", err)
	}
	if chunk.Bytes < 0 || chunk.Bytes > MaxLogChunk || chunk.Offset < 0 || chunk.End != (chunk.File == "") || chunk.End && chunk.Bytes > 0 {
		return LogChunk{}, nil, errors.New("invalid log chunk")
	}
	if cap(r.data) < chunk.Bytes {
		r.data = make([]byte, MaxLogChunk)
	}
	data := r.data[:chunk.Bytes]
	if _, err := io.ReadFull(r.r, data); err != nil {
		return LogChunk{}, nil, fmt.Errorf("read a log chunk: %w", noEOF(err))
	}
	return chunk, data, nil
}

// noEOF makes the end of a stream without a last chunk an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
