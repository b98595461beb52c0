package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

const (
	// sourceKernel is the kernel's ring buffer; every other source is a file.
	sourceKernel = "kernel"
	// followPoll is how often a followed file is checked for new lines.
	followPoll = 200 * time.Millisecond
	// maxTail bounds the lines of a tail.
	maxTail = 1_000_000
	// maxRecord is the largest record of /dev/kmsg
	// (https://docs.kernel.org/ABI/testing/dev-kmsg.html).
	maxRecord = 8192
)

// isSource reports whether a name can be a program's. It becomes part of a file name.
func isSource(name string) bool {
	return name != "" && len(name) <= 63 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	source, follow, tail := query.Get("source"), query.Get("follow") == "true", -1
	if !isSource(source) {
		http.Error(w, fmt.Sprintf("invalid log source %q", source), http.StatusBadRequest)
		return
	}
	if text := query.Get("tail"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > maxTail {
			http.Error(w, fmt.Sprintf("invalid number of lines %q for tail", text), http.StatusBadRequest)
			return
		}
		tail = n
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	out := flusher{w, http.NewResponseController(w)}
	var err error
	if source == sourceKernel {
		err = kernelLog(r.Context(), out, tail, follow)
	} else {
		err = fileLog(r.Context(), out, s.logFile(source), tail, follow)
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		http.Error(w, fmt.Sprintf("no log of %s", source), http.StatusNotFound)
	case err != nil && r.Context().Err() == nil:
		s.Log.Warn("send log", "source", source, "error", err)
	}
}

// takeLogs answers with what log files have beyond what the host has.
func (s *Server) takeLogs(w http.ResponseWriter, r *http.Request) {
	if s.Spool == nil {
		http.Error(w, "this node keeps no logs for the host", http.StatusNotFound)
		return
	}
	var request nodeapi.TakeRequest
	if !decodeUpTo(nodeapi.MaxTakeRequest, w, r, &request) {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := s.Spool.Take(r.Context(), request, nodeapi.NewLogWriter(w)); err != nil && r.Context().Err() == nil {
		s.Log.Warn("send logs to the host", "error", err)
	}
}

// logFile returns the source's file in the first directory that has it.
func (s *Server) logFile(source string) string {
	name := source + ".log"
	for _, dir := range s.LogDirs {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return name // os.Open reports that it does not exist
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// flusher sends every write at once: the reader may be a person.
type flusher struct {
	io.Writer
	control *http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err != nil {
		return n, err
	}
	return n, f.control.Flush()
}

// fileLog sends the last tail lines of a file. If tail is negative, it sends the whole
// file, after the one that was rotated before it. With follow, it also sends what is
// appended until ctx ends.
func fileLog(ctx context.Context, w io.Writer, path string, tail int, follow bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var offset int64
	if tail >= 0 {
		if offset, err = tailOffset(f, tail); err != nil {
			return err
		}
	} else if err := copyFile(w, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for {
		n, err := io.Copy(w, io.NewSectionReader(f, offset, 1<<62))
		offset += n
		if err != nil || !follow {
			return err
		}
		if pause.For(ctx, followPoll) != nil {
			return nil
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Size() < offset {
			offset = 0 // it was rotated
		}
	}
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// tailOffset returns the offset of the last lines of a file.
func tailOffset(f io.ReaderAt, lines int) (int64, error) {
	size, err := seekEnd(f)
	if err != nil || lines <= 0 {
		return size, err
	}
	const block = 32 << 10
	buf := make([]byte, block)
	// The last byte is the newline of the last line, not of an empty one.
	for end := max(size-1, 0); end > 0; {
		start := max(end-block, 0)
		part := buf[:end-start]
		if _, err := f.ReadAt(part, start); err != nil {
			return 0, err
		}
		for at := bytes.LastIndexByte(part, '\n'); at >= 0; at = bytes.LastIndexByte(part[:at], '\n') {
			if lines--; lines <= 0 {
				return start + int64(at) + 1, nil
			}
		}
		end = start
	}
	return 0, nil
}

func seekEnd(f io.ReaderAt) (int64, error) {
	if seeker, ok := f.(io.Seeker); ok {
		return seeker.Seek(0, io.SeekEnd)
	}
	return 0, errors.New("the log is not seekable")
}

// kernelLog sends the kernel's ring buffer in the format of dmesg.
func kernelLog(ctx context.Context, w io.Writer, tail int, follow bool) error {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/kmsg: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	record := make([]byte, maxRecord)
	var lines []string
	send := func(line string) error { _, err := io.WriteString(w, line); return err }
	for caughtUp := false; ; {
		n, err := unix.Read(fd, record)
		switch {
		case errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR):
			continue // records were overwritten before they were read
		case errors.Is(err, unix.EAGAIN):
			if !caughtUp {
				caughtUp = true
				if tail >= 0 {
					lines = lines[max(0, len(lines)-tail):]
				}
				if err := send(strings.Join(lines, "")); err != nil {
					return err
				}
			}
			if !follow {
				return nil
			}
			if pause.For(ctx, followPoll) != nil {
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("/dev/kmsg: %w", err)
		}
		line, ok := kernelLine(record[:n])
		if !ok {
			continue
		}
		if caughtUp {
			if err := send(line); err != nil {
				return err
			}
		} else {
			lines = append(lines, line)
		}
	}
}

// kernelLine formats a record of /dev/kmsg,
// "priority,sequence,microseconds,flags;text\n key=value…", as dmesg does.
func kernelLine(record []byte) (string, bool) {
	head, text, ok := strings.Cut(string(record), ";")
	if !ok {
		return "", false
	}
	fields := strings.SplitN(head, ",", 4)
	if len(fields) < 3 {
		return "", false
	}
	micros, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || micros < 0 {
		return "", false
	}
	text, _, _ = strings.Cut(text, "\n")
	return fmt.Sprintf("[%5d.%06d] %s\n", micros/1e6, micros%1e6, text), true
}
