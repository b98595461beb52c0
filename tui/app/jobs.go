package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/logs"
)

// jobs holds the commands that run in the background, with their output.
type jobs struct {
	running sync.WaitGroup // feeds and jobs

	mu   sync.Mutex // guards what follows
	all  map[int]*job
	last int
}

// job is a command. It implements io.Writer for the command's output.
type job struct {
	title string

	mu      sync.Mutex // guards what follows
	lines   []feed.Line
	rest    []byte // an incomplete line
	done    bool
	failure string
	changed chan struct{} // closed and replaced at each change
}

// maxJobLines bounds the lines kept of one job.
const maxJobLines = 10_000

// maxRest bounds the length of a line, in bytes.
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

// latest returns the ID and title of the latest job; the ID is 0 if there is none.
func (j *jobs) latest() (int, string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if one := j.all[j.last]; one != nil {
		return j.last, one.title
	}
	return 0, ""
}

// Write implements io.Writer.
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
	j.notify()
	return len(p), nil
}

func (j *job) finish(err error) {
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
	j.notify()
}

// notify wakes up followers. The caller holds the lock.
func (j *job) notify() {
	if extra := len(j.lines) - maxJobLines; extra > 0 {
		j.lines = append([]feed.Line(nil), j.lines[extra:]...)
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// follow delivers the output of a job until it has finished or ctx ends.
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

// startJob runs work as a job and returns its screen. A notice tells when it has
// finished.
func (m *Model) startJob(title string, work func(context.Context, io.Writer) error) (screen.Screen, tea.Cmd) {
	id, one := m.jobs.add(title)
	cmd := func() tea.Msg {
		finished := make(chan error, 1)
		m.jobs.running.Go(func() {
			err := work(m.ctx, one)
			one.finish(err)
			finished <- err
		})
		select {
		case <-m.ctx.Done():
			return nil
		case err := <-finished:
			if err != nil {
				return jobDoneMsg{"failed: " + title + "; :output shows why", true}
			}
			return jobDoneMsg{"done: " + title, false}
		}
	}
	return logs.NewOutput(screen.Output{Job: id, Title: title}), cmd
}

// jobDoneMsg reports the end of a job. Details of a failure are in its output.
type jobDoneMsg struct {
	text string
	bad  bool
}

// errNotATerminal is returned if bubbletea has no terminal to hand over.
var errNotATerminal = errors.New("standard input is not a terminal")

// terminalJob implements tea.ExecCommand: it runs work that takes over the
// terminal.
type terminalJob struct {
	work func(in io.Reader, out io.Writer) error
	in   io.Reader
	out  io.Writer
}

// SetStdin implements tea.ExecCommand.
func (t *terminalJob) SetStdin(r io.Reader) { t.in = r }

// SetStdout implements tea.ExecCommand.
func (t *terminalJob) SetStdout(w io.Writer) { t.out = w }

// SetStderr implements tea.ExecCommand.
func (t *terminalJob) SetStderr(io.Writer) {}

// Run implements tea.ExecCommand.
func (t *terminalJob) Run() error {
	if t.in == nil || t.out == nil {
		return errNotATerminal
	}
	return t.work(t.in, t.out)
}

// inTerminal runs work that takes over the terminal.
func (m *Model) inTerminal(title string, work func(in io.Reader, out io.Writer) error) tea.Cmd {
	job := &terminalJob{work: func(in io.Reader, out io.Writer) error {
		// Clear the screen, which may show the output of the previous program.
		fmt.Fprint(out, "\x1b[H\x1b[2J")
		return work(in, out)
	}}
	return tea.Exec(job, func(err error) tea.Msg {
		switch {
		case errors.Is(err, feed.ErrUnchanged):
			return requestsMsg{notice: notice{text: err.Error()}}
		case err != nil:
			return failure(err)
		}
		return requestsMsg{notice: notice{text: title + ": done"}}
	})
}
