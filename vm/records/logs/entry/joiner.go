package entry

import (
	"bytes"
	"time"
)

// maxLine is the size in bytes at which a line without an end is split. The runtime
// splits those of containers at 16 KiB.
const maxLine = 1 << 20

// tie is how far back the clock of a line may be for it to count as the same moment.
const tie = int64(time.Second)

// Position is how far a log was turned into entries. Its zero value is the start of
// the file. An entry is emitted once if a Joiner begins at the position at which
// another one ended.
type Position struct {
	// Offset is where to read on: no entry that was not emitted begins before it.
	Offset int64 `json:"offset"`
	// Streams by name, "" included.
	Streams map[string]Through `json:"streams,omitempty"`
}

// Through is how far one stream of a log was emitted.
type Through struct {
	// Offset before which every entry of the stream was emitted.
	Offset int64 `json:"offset"`
	// Time of the last entry, in nanoseconds since 1970.
	Time int64 `json:"time"`
}

// Joiner makes entries of the lines of one log. Lines that the runtime split are
// joined, and those of a stack trace. Entries of one stream have increasing times,
// so they can be told apart and keep their order.
type Joiner struct {
	parse   ParseFunc
	emit    func(Entry)
	streams map[string]*stream
	read    int64  // offset up to which the file was read
	rest    []byte // of a line whose end was not read
}

// stream is the state of one stream of a log.
type stream struct {
	through Through
	pending *pending
}

// pending is an entry that may not be complete.
type pending struct {
	entry   Entry
	text    []byte
	kind    trace
	partial bool // the last line was
	latest  time.Time
}

// NewJoiner returns a Joiner that begins at a position and calls emit for each entry.
func NewJoiner(at Position, parse ParseFunc, emit func(Entry)) *Joiner {
	j := &Joiner{parse: parse, emit: emit, streams: map[string]*stream{}, read: at.Offset}
	for name, through := range at.Streams {
		j.streams[name] = &stream{through: through}
	}
	return j
}

// Read returns the offset at which the next bytes begin.
func (j *Joiner) Read() int64 { return j.read }

// Write takes the next bytes of the file. now is the time of lines without one.
func (j *Joiner) Write(data []byte, now time.Time) {
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		line := data
		if end >= 0 {
			line = data[:end]
		}
		if end < 0 || len(j.rest) > 0 || len(line) >= maxLine {
			j.keep(line, now)
			if end < 0 {
				return
			}
			line = j.rest
		} else {
			j.read += int64(end)
		}
		begin := j.read - int64(len(line))
		j.read++
		j.line(line, begin, now)
		j.rest, data = j.rest[:0], data[end+1:]
	}
}

// keep keeps the beginning of a line. One without an end is split.
func (j *Joiner) keep(data []byte, now time.Time) {
	for len(data) > 0 {
		n := min(len(data), maxLine-len(j.rest))
		j.rest = append(j.rest, data[:n]...)
		j.read += int64(n)
		data = data[n:]
		if len(j.rest) == maxLine {
			j.line(j.rest, j.read-maxLine, now)
			j.rest = j.rest[:0]
		}
	}
}

// End takes the end of a file that will not grow: its last line may have no newline.
func (j *Joiner) End(now time.Time) {
	if len(j.rest) > 0 {
		j.line(j.rest, j.read-int64(len(j.rest)), now)
		j.rest = j.rest[:0]
	}
	for _, name := range streamNames {
		if s := j.streams[name]; s != nil && s.pending != nil {
			j.finish(s)
		}
	}
}

// streamNames are the streams of logs.
var streamNames = [...]string{"", "stdout", "stderr"}

// Flush emits entries whose last line was read before a time. One that the runtime
// split waits for its rest.
func (j *Joiner) Flush(before time.Time) {
	for _, name := range streamNames {
		if s := j.streams[name]; s != nil && s.pending != nil && !s.pending.partial && s.pending.latest.Before(before) {
			j.finish(s)
		}
	}
}

// Pending reports whether there are entries that Flush will emit.
func (j *Joiner) Pending() bool {
	for _, s := range j.streams {
		if s.pending != nil && !s.pending.partial {
			return true
		}
	}
	return false
}

// Position returns where another Joiner can continue.
func (j *Joiner) Position() Position {
	p := Position{Offset: j.read - int64(len(j.rest)), Streams: map[string]Through{}}
	for name, s := range j.streams {
		p.Streams[name] = s.through
		if s.pending != nil {
			p.Offset = min(p.Offset, s.pending.entry.Begin)
		}
	}
	return p
}

// line takes a complete line that begins at an offset.
func (j *Joiner) line(raw []byte, begin int64, now time.Time) {
	line := j.parse(bytes.TrimSuffix(raw, []byte("\r")))
	s := j.streams[line.Stream]
	if s == nil {
		s = &stream{}
		j.streams[line.Stream] = s
	}
	if begin < s.through.Offset {
		return // it was emitted before the log was read again
	}
	if line.Time == 0 {
		line.Time = now.UnixNano()
	}
	if p := s.pending; p != nil {
		if p.partial {
			p.add(line.Text, j.read, "")
			p.partial, p.latest = line.Partial, now
			return
		}
		if kind, more := continues(p.kind, line.Text); more && p.entry.Lines < maxJoined && len(p.text) < MaxText {
			p.kind = kind
			p.add(line.Text, j.read, "\n")
			p.partial, p.latest = line.Partial, now
			return
		}
		j.finish(s)
	}
	s.pending = &pending{
		entry: Entry{Time: line.Time, Stream: line.Stream, Begin: begin}, kind: begins(line.Text), partial: line.Partial, latest: now,
	}
	s.pending.add(line.Text, j.read, "")
}

func (p *pending) add(text []byte, end int64, between string) {
	p.entry.Lines++
	p.entry.End = end
	p.text = append(p.text, between...)
	room := max(MaxText-len(p.text), 0)
	if len(text) > room {
		p.entry.Cut = true
		text = text[:room]
	}
	p.text = append(p.text, text...)
}

// finish emits the pending entry of a stream. Two entries of a stream never have the
// same time: a later one of the same moment gets the next nanosecond. A clock that was
// set back is believed.
func (j *Joiner) finish(s *stream) {
	e := s.pending.entry
	e.Text = valid(s.pending.text)
	s.pending = nil
	if e.Time <= s.through.Time && e.Time > s.through.Time-tie {
		e.Time = s.through.Time + 1
	}
	s.through = Through{Offset: e.End, Time: e.Time}
	j.emit(e)
}
