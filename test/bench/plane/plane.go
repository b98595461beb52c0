// Package plane runs control planes as local processes, for benchmarks that compare Skiff's
// with upstream's separate programs.
package plane

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/test/bench/process"
)

// Intervals and timeouts of a start.
const (
	readyPoll  = 5 * time.Millisecond
	readyLimit = 2 * time.Minute
	stopLimit  = 10 * time.Second
)

// Plane is a control plane that can be started.
type Plane struct {
	Name     string
	Commands func(Site) []Command
}

// Command is the command line of a program.
type Command struct {
	Program string
	Args    []string
}

// Running is a started control plane.
type Running struct {
	programs []*program
	failed   chan error // programs that exited
	site     Site
	// Began is when the first program was started.
	Began time.Time
}

type program struct {
	*exec.Cmd
	done chan struct{}
}

// Start starts all programs at the same time.
func (p *Plane) Start(s Site) (*Running, error) {
	commands := p.Commands(s)
	r := &Running{site: s, failed: make(chan error, len(commands)), Began: time.Now()}
	for _, c := range commands {
		if err := r.launch(c); err != nil {
			r.Stop()
			return nil, err
		}
	}
	return r, nil
}

// Serve starts all programs, waits until the API is ready and returns a client
// for it. Unless there is an error, the caller must call Stop.
func (p *Plane) Serve(ctx context.Context, s Site) (*Running, kubernetes.Interface, error) {
	r, err := p.Start(s)
	if err != nil {
		return nil, nil, err
	}
	if err := r.Ready(ctx); err != nil {
		r.Stop()
		return nil, nil, err
	}
	client, err := s.Client()
	if err != nil {
		r.Stop()
		return nil, nil, err
	}
	return r, client, nil
}

func (r *Running) launch(c Command) error {
	log, err := os.Create(filepath.Join(r.site.dir, filepath.Base(c.Program)+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	started := &program{Cmd: exec.Command(c.Program, c.Args...), done: make(chan struct{})}
	started.Stdout, started.Stderr = log, log
	if err := started.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.Program, err)
	}
	r.programs = append(r.programs, started)
	go func() {
		defer close(started.done)
		err := started.Wait()
		r.failed <- fmt.Errorf("%s exited: %w\n%s", filepath.Base(c.Program), err, tail(log.Name()))
	}()
	return nil
}

// tail returns the end of a log.
func tail(path string) string {
	content, _ := os.ReadFile(path)
	return string(content[max(0, len(content)-2000):])
}

// Stop stops the programs in reverse start order, because the others depend on
// etcd, which starts first. It kills a program that takes too long.
func (r *Running) Stop() {
	for i := len(r.programs) - 1; i >= 0; i-- {
		p := r.programs[i]
		_ = p.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopLimit):
			_ = p.Process.Kill()
			<-p.done
		}
	}
}

// Ready waits until the API server is ready.
func (r *Running) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a probe that sends nothing
	}}
	defer client.CloseIdleConnections()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.site.url()+"/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", ctx.Err())
		case err := <-r.failed:
			return err
		case <-time.After(readyPoll):
		}
	}
}

// CPU returns the CPU time that all programs have used.
func (r *Running) CPU() (time.Duration, error) {
	var sum time.Duration
	for _, p := range r.programs {
		used, err := process.CPU(p.Process.Pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// Memory returns the memory of all programs.
func (r *Running) Memory() (process.Usage, error) {
	var sum process.Usage
	for _, p := range r.programs {
		u, err := process.Memory(p.Process.Pid)
		if err != nil {
			return sum, err
		}
		sum.Add(u)
	}
	return sum, nil
}
