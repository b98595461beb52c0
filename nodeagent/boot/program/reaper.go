// Package program keeps a node's programs running: it starts and restarts each of
// them and reaps all orphans.
package program

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const waitPoll = 10 * time.Millisecond

// Reaper reaps every child of this process, which is PID 1 and therefore inherits all
// orphans. While one runs, nothing else may wait for children.
type Reaper struct {
	mu      sync.Mutex // guards running, and delays reaping during a start
	running map[int]chan syscall.WaitStatus
}

// NewReaper starts to reap children, for the life of the process.
func NewReaper() *Reaper {
	r := &Reaper{running: map[int]chan syscall.WaitStatus{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			r.reap()
		}
	}()
	return r
}

// reap reaps all children that have exited and reports whether any is left.
func (r *Reaper) reap() (left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return err == nil
		}
		if done := r.running[pid]; done != nil {
			done <- status
			delete(r.running, pid)
		}
	}
}

// Start executes a program in a session of its own, with standard input from
// /dev/null and output to the file. The channel receives its wait status.
func (r *Reaper) Start(args, env []string, output *os.File) (int, <-chan syscall.WaitStatus, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	done := make(chan syscall.WaitStatus, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: []uintptr{null.Fd(), output.Fd(), output.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	r.running[pid] = done
	return pid, done, nil
}

// WaitAll returns true when no child is left, or false after that time.
func (r *Reaper) WaitAll(within time.Duration) bool {
	for deadline := time.Now().Add(within); r.reap(); time.Sleep(waitPoll) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// describe returns how a program ended.
func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}
