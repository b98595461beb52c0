package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/screen"
)

// jobs are the commands that run while screens go on, with what they wrote.
type jobs struct {
	running sync.WaitGroup // feeds and jobs

	mu   sync.Mutex // guards what follows
	all  map[int]*job
	last int
}

// job is one command. As a writer it takes what the command writes.
type job struct {
	title string

	mu      sync.Mutex // guards what follows
	lines   []feed.Line
	rest    []byte // of a line that is not over
	done    bool
	failure string
	changed chan struct{} // closed and made anew at each change
}

// maxJobLines bounds what is kept of one job.
const maxJobLines = 10_000

// maxRest bounds a line, in bytes.
const maxRest = 16 << 10

func newJobs() *jobs { return &jobs{all: map[int]*job{}} }

func (j *jobs) add(title string) (int, *job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	one := &job{title: title, changed: make(chan struct{})}
	j.all[j.last] = one
	return j.last, one
}

func (j *jobs) get(id int) *job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all[id]
}

// latest is the job that was begun last, 0 if there is none.
func (j *jobs) latest() (int, string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if one := j.all[j.last]; one != nil {
		return j.last, one.title
	}
	return 0, ""
}

// Write is io.Writer's.
func (j *job) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rest = append(j.rest, p...)
	for {
		end := bytes.IndexAny(j.rest, "\r\n")
		if end < 0 && len(j.rest) > maxRest {
			end = maxRest
		}
		if end < 0 {
			break
		}
		if end > 0 {
			j.lines = append(j.lines, feed.Line{At: time.Now(), Text: string(j.rest[:end])})
		}
		j.rest = j.rest[min(end+1, len(j.rest)):]
	}
	j.tell()
	return len(p), nil
}

func (j *job) end(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.rest) > 0 {
		j.lines = append(j.lines, feed.Line{At: time.Now(), Text: string(j.rest)})
		j.rest = nil
	}
	j.done = true
	if err != nil {
		j.failure = err.Error()
	}
	j.tell()
}

// tell wakes those who wait; the lock is held.
func (j *job) tell() {
	if extra := len(j.lines) - maxJobLines; extra > 0 {
		j.lines = append([]feed.Line(nil), j.lines[extra:]...)
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// follow delivers what a job has written and writes.
func (j *jobs) follow(ctx context.Context, id int, emit func(any)) {
	one := j.get(id)
	if one == nil {
		emit(feed.Lines{Done: true, Failure: "the output of this command is no longer available"})
		return
	}
	for sent := 0; ; {
		one.mu.Lock()
		sent = min(sent, len(one.lines))
		lines := feed.Lines{
			Lines: append([]feed.Line(nil), one.lines[sent:]...), Done: one.done, Failure: one.failure,
			Freshness: object.Freshness{State: object.Live, At: time.Now()},
		}
		sent = len(one.lines)
		changed := one.changed
		one.mu.Unlock()
		emit(lines)
		if lines.Done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// begin runs work as a job and returns its screen. A line says when it is over.
func (m *Model) begin(title string, work func(context.Context, io.Writer) error) (screen.Screen, tea.Cmd) {
	id, one := m.jobs.add(title)
	cmd := func() tea.Msg {
		ended := make(chan error, 1)
		m.jobs.running.Go(func() {
			err := work(m.ctx, one)
			one.end(err)
			ended <- err
		})
		select {
		case <-m.ctx.Done():
			return nil
		case err := <-ended:
			if err != nil {
				return endedMsg{"failed: " + title + "; :output shows why", true}
			}
			return endedMsg{"done: " + title, false}
		}
	}
	return screen.NewOutput(id, title), cmd
}

// endedMsg says that a job is over; why stands in what it wrote.
type endedMsg struct {
	text string
	bad  bool
}

// errNoTerminal: the command was given no terminal.
var errNoTerminal = errors.New("standard input is not a terminal")

// terminalJob is a tea.ExecCommand: work that has the terminal to itself.
type terminalJob struct {
	work func(in io.Reader, out io.Writer) error
	in   io.Reader
	out  io.Writer
}

// SetStdin is tea.ExecCommand's.
func (t *terminalJob) SetStdin(r io.Reader) { t.in = r }

// SetStdout is tea.ExecCommand's.
func (t *terminalJob) SetStdout(w io.Writer) { t.out = w }

// SetStderr is tea.ExecCommand's.
func (t *terminalJob) SetStderr(io.Writer) {}

// Run is tea.ExecCommand's.
func (t *terminalJob) Run() error {
	if t.in == nil || t.out == nil {
		return errNoTerminal
	}
	return t.work(t.in, t.out)
}
