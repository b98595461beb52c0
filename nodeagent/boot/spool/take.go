package spool

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// share is how many bytes of one file an answer has while other files have some too.
const share = 256 << 10

// maxGone is how many files that no longer exist are named in one answer.
const maxGone = 1000

// part is a part of a file to be sent.
type part struct {
	chunk nodeapi.LogChunk
	name  string // of the file, full path
	size  int64  // of the part
}

// Take answers a request for log files: it writes what is beyond the offsets of the
// request. If there is nothing, it waits for the next scans.
func (s *Spool) Take(ctx context.Context, request nodeapi.TakeRequest, to *nodeapi.LogWriter) error {
	s.acknowledge(request)
	wait, cancel := context.WithTimeout(ctx, time.Duration(max(0, min(request.WaitMilliseconds, nodeapi.MaxTakeWait)))*time.Millisecond)
	defer cancel()
	for {
		parts, end, next := s.plan(request)
		if len(parts) == 0 && len(end.Gone) == 0 {
			select {
			case <-next:
				continue
			case <-wait.Done():
			}
		}
		for _, p := range parts {
			if err := p.send(to); err != nil {
				return err
			}
		}
		return to.Write(end, nil)
	}
}

// acknowledge notes what the host has stored.
func (s *Spool) acknowledge(request nodeapi.TakeRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unasked = 0
	for id, read := range request.Files {
		if f := s.files[id]; f != nil {
			f.stored = max(f.stored, min(read.Stored, f.size))
		}
	}
}

// plan returns what to send, the last chunk, and a channel that is closed by the next
// scan.
func (s *Spool) plan(request nodeapi.TakeRequest) ([]part, nodeapi.LogChunk, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := nodeapi.LogChunk{End: true, Dropped: s.dropped}
	programs := s.programs()
	for id := range request.Files {
		if s.files[id] != nil || programs[id] != "" || !s.opened {
			continue
		}
		if end.More = len(end.Gone) == maxGone; end.More {
			break
		}
		end.Gone = append(end.Gone, id)
	}
	var parts []part
	room := int64(nodeapi.MaxTake)
	add := func(p part) {
		if p.size = min(p.size, share, room); p.size == 0 && !p.chunk.Final {
			end.More = true
			return
		}
		room -= p.size
		parts = append(parts, p)
	}
	waiting := map[string]bool{} // logs with an earlier file that the host does not have
	s.turn++
	for i := range s.order {
		// Files of one log keep their order, whoever's turn it is.
		f := s.order[i]
		if waiting[f.log()] {
			continue
		}
		read := request.Files[f.id]
		left := f.size - read.Read
		waiting[f.log()] = !read.Final
		if read.Final || left < 0 || left == 0 && !f.final {
			continue
		}
		chunk := nodeapi.LogChunk{File: f.id, Source: f.source, Path: f.path, Offset: read.Read, Final: f.final && left <= min(share, room)}
		end.More = end.More || left > share
		add(part{chunk, f.link, left})
	}
	for id, name := range programs {
		if p, ok := programPart(id, name, request.Files[id].Read); ok && !waiting[logOf(id)] {
			add(p)
		}
	}
	return rotate(parts, s.turn), end, s.scanned
}

// rotate changes which file is sent first, so that none waits for a busy one forever.
func rotate(parts []part, by int) []part {
	if len(parts) == 0 {
		return nil
	}
	by %= len(parts)
	return append(parts[by:len(parts):len(parts)], parts[:by]...)
}

// send writes a part of a file. A file that became shorter is sent as far as it goes.
func (p part) send(to *nodeapi.LogWriter) error {
	f, err := os.Open(p.name)
	if err != nil {
		return nil // it was removed meanwhile
	}
	defer f.Close()
	data := make([]byte, p.size)
	n, err := f.ReadAt(data, p.chunk.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	if int64(n) < p.size {
		p.chunk.Final = false
	}
	return to.Write(p.chunk, data[:n])
}
