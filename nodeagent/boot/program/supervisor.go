package program

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

const (
	backoffFirst = 100 * time.Millisecond
	backoffMax   = 10 * time.Second
	// steady is how long a program must have run to reset the back-off.
	steady      = time.Minute
	rotateEvery = 30 * time.Second
)

// Spec is one program to keep running.
type Spec struct {
	Name string
	Args []string
	Env  []string
	// EnvFile, if set, has further variables, one a line. It is read at every start.
	EnvFile string
	// Ready, if set, blocks until the program may be started, every time. After an
	// error the program is not started any more.
	Ready func(ctx context.Context) error
	// OnDemand programs are reported only once they have started: before, there is no
	// log.
	OnDemand bool
	// Once, if set, makes it a task: it is restarted only while it fails, and Once is
	// called when it has succeeded.
	Once func() error
	// OOMScoreAdj as in proc(5).
	OOMScoreAdj int
	// Nice is the program's niceness.
	Nice int
	// StopTime is how long it may take to exit after SIGTERM.
	StopTime time.Duration
}

// Supervisor keeps programs running.
type Supervisor struct {
	Reaper *Reaper
	// LogDir gets NAME.log for each program.
	LogDir string
	// Log receives a line for each start and end.
	Log func(line string)
	// Changed is called with the state of a program whenever it changes.
	Changed func(nodeapi.Program)
}

// Run keeps the programs running until ctx ends, then stops them all at the same
// time and returns when they have exited.
func (s *Supervisor) Run(ctx context.Context, specs []Spec) {
	var running sync.WaitGroup
	for _, spec := range specs {
		running.Go(func() { s.keep(ctx, spec) })
	}
	running.Go(func() { s.rotateLogs(ctx, specs) })
	running.Wait()
}

func (s *Supervisor) keep(ctx context.Context, spec Spec) {
	state := nodeapi.Program{Name: spec.Name}
	if !spec.OnDemand {
		s.Changed(state)
	}
	for backoff := backoffFirst; ctx.Err() == nil; {
		if spec.Ready != nil && spec.Ready(ctx) != nil {
			return
		}
		started := time.Now()
		ok := s.attempt(ctx, spec, &state)
		if ok && spec.Once != nil {
			if err := spec.Once(); err != nil {
				s.Log(fmt.Sprintf("%s: %v", spec.Name, err))
			}
			return
		}
		if time.Since(started) > steady {
			backoff = backoffFirst
		}
		_ = pause.For(ctx, backoff)
		backoff = min(2*backoff, backoffMax)
		state.Restarts++
	}
}

// attempt runs the program once and reports whether it succeeded. A panic ends the
// attempt, not PID 1.
func (s *Supervisor) attempt(ctx context.Context, spec Spec, state *nodeapi.Program) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			s.Log(fmt.Sprintf("%s: panic: %v", spec.Name, r))
		}
	}()
	output, err := openLog(LogFile(s.LogDir, spec.Name))
	if err != nil {
		s.Log(fmt.Sprintf("%s: %v", spec.Name, err))
		return false
	}
	defer output.Close()
	pid, done, err := s.Reaper.Start(spec.Args, append(slices.Clone(spec.Env), ReadEnvironment(spec.EnvFile)...), output)
	if err != nil {
		state.LastExit = err.Error()
		s.Changed(*state)
		s.Log(fmt.Sprintf("%s: %v", spec.Name, err))
		return false
	}
	s.prioritize(pid, spec)
	state.PID, state.Started = pid, time.Now()
	s.Changed(*state)
	var status syscall.WaitStatus
	select {
	case status = <-done:
	case <-ctx.Done():
		status = stop(pid, done, spec.StopTime)
	}
	state.PID, state.LastExit = 0, describe(status)
	s.Changed(*state)
	if ctx.Err() != nil || spec.Once == nil || status != 0 {
		s.Log(fmt.Sprintf("%s ended: %s", spec.Name, state.LastExit))
	}
	return status == 0
}

// ReadEnvironment returns the variables in a file, one a line; nothing if it cannot be
// read.
func ReadEnvironment(file string) []string {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(content), func(r rune) bool { return r == '\n' })
}

// prioritize is best effort: where the machine does not allow it, the program runs
// like any other.
func (s *Supervisor) prioritize(pid int, spec Spec) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj")
	if err := os.WriteFile(path, []byte(strconv.Itoa(spec.OOMScoreAdj)), 0); err != nil {
		s.Log(fmt.Sprintf("%s: %v", spec.Name, err))
	}
	if err := syscall.Setpriority(syscall.PRIO_PGRP, pid, spec.Nice); err != nil {
		s.Log(fmt.Sprintf("%s: niceness: %v", spec.Name, err))
	}
}

// stop sends SIGTERM, waits, and then kills the program's session. If the program
// has exited in the meantime, the signals have no effect.
func stop(pid int, done <-chan syscall.WaitStatus, within time.Duration) syscall.WaitStatus {
	_ = syscall.Kill(pid, syscall.SIGTERM)
	select {
	case status := <-done:
		return status
	case <-time.After(within):
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	return <-done
}

func (s *Supervisor) rotateLogs(ctx context.Context, specs []Spec) {
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, spec := range specs {
			if err := rotate(LogFile(s.LogDir, spec.Name), maxLogBytes); err != nil {
				s.Log(fmt.Sprintf("rotate the log of %s: %v", spec.Name, err))
			}
		}
	}
}

// RunToEnd runs a program and returns its exit code and the end of its output.
func (r *Reaper) RunToEnd(ctx context.Context, args ...string) (int, string, error) {
	output, err := os.CreateTemp("", "output-")
	if err != nil {
		return 0, "", err
	}
	defer output.Close()
	defer os.Remove(output.Name())
	pid, done, err := r.Start(args, os.Environ(), output)
	if err != nil {
		return 0, "", err
	}
	var status syscall.WaitStatus
	select {
	case status = <-done:
	case <-ctx.Done():
		status = stop(pid, done, 0)
	}
	text := make([]byte, 4096)
	n, _ := output.ReadAt(text, 0) // the output only explains the exit code
	if status.Signaled() {
		return -1, describe(status), nil
	}
	return status.ExitStatus(), string(text[:n]), nil
}
