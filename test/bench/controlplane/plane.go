package main

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

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/process"
)

// Intervals and timeouts of a start.
const (
	readyPoll  = 5 * time.Millisecond
	readyLimit = 2 * time.Minute
	stopLimit  = 10 * time.Second
	// settledAfter is when the work that a control plane defers until it is ready
	// is done.
	settledAfter = 15 * time.Second
)

// plane is a control plane that can be started.
type plane struct {
	name     string
	commands func(site) []command
}

// command is the command line of a program.
type command struct {
	program string
	args    []string
}

// running is a started control plane.
type running struct {
	programs []*program
	failed   chan error // programs that exited
	site     site
	start    time.Time
}

type program struct {
	*exec.Cmd
	done chan struct{}
}

// start starts all programs at the same time.
func (p *plane) start(s site) (*running, error) {
	commands := p.commands(s)
	r := &running{site: s, failed: make(chan error, len(commands)), start: time.Now()}
	for _, c := range commands {
		if err := r.launch(c); err != nil {
			r.stop()
			return nil, err
		}
	}
	return r, nil
}

// serve starts all programs, waits until the API is ready and returns a client
// for it. Unless there is an error, the caller must call stop.
func (p *plane) serve(ctx context.Context, s site) (*running, kubernetes.Interface, error) {
	r, err := p.start(s)
	if err != nil {
		return nil, nil, err
	}
	if err := r.ready(ctx); err != nil {
		r.stop()
		return nil, nil, err
	}
	client, err := s.client()
	if err != nil {
		r.stop()
		return nil, nil, err
	}
	return r, client, nil
}

func (r *running) launch(c command) error {
	log, err := os.Create(filepath.Join(r.site.dir, filepath.Base(c.program)+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	started := &program{Cmd: exec.Command(c.program, c.args...), done: make(chan struct{})}
	started.Stdout, started.Stderr = log, log
	if err := started.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.program, err)
	}
	r.programs = append(r.programs, started)
	go func() {
		defer close(started.done)
		err := started.Wait()
		r.failed <- fmt.Errorf("%s exited: %w\n%s", filepath.Base(c.program), err, tail(log.Name()))
	}()
	return nil
}

// tail returns the end of a log.
func tail(path string) string {
	content, _ := os.ReadFile(path)
	return string(content[max(0, len(content)-2000):])
}

// stop stops the programs in reverse start order, because the others depend on
// etcd, which starts first. It kills a program that takes too long.
func (r *running) stop() {
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

// ready waits until the API server is ready.
func (r *running) ready(ctx context.Context) error {
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

func (r *running) cpu() (time.Duration, error) {
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

func (r *running) memory() (process.Usage, error) {
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

// start holds the measurements of a start.
type start struct{ ready, cpu, settled time.Duration }

func (p *plane) measureStart(ctx context.Context, s site) (took start, err error) {
	r, err := p.start(s)
	if err != nil {
		return took, err
	}
	defer r.stop()
	if err := r.ready(ctx); err != nil {
		return took, err
	}
	took.ready = time.Since(r.start)
	if took.cpu, err = r.cpu(); err != nil {
		return took, err
	}
	if err := pause.For(ctx, settledAfter-time.Since(r.start)); err != nil {
		return took, err
	}
	took.settled, err = r.cpu()
	return took, err
}

// idleSample holds the measurements of an idle control plane with one node.
type idleSample struct {
	memory  process.Usage
	percent float64
}

// idles measures an idle control plane that started with existing data and has
// one node.
func (b *bench) idles(ctx context.Context, p *plane, dir string) (sample idleSample, err error) {
	s, err := newSite(dir)
	if err != nil {
		return sample, err
	}
	defer os.RemoveAll(dir)
	if _, err := p.measureStart(ctx, s); err != nil {
		return sample, err
	}
	r, client, err := p.serve(ctx, s)
	if err != nil {
		return sample, err
	}
	defer r.stop()
	node, err := join(ctx, client, "worker-1")
	if err != nil {
		return sample, err
	}
	defer node.stop()
	if err := pause.For(ctx, b.settle); err != nil {
		return sample, err
	}
	if sample.memory, err = r.memory(); err != nil {
		return sample, err
	}
	before, err := r.cpu()
	if err != nil {
		return sample, err
	}
	start := time.Now()
	if err := pause.For(ctx, b.idle); err != nil {
		return sample, err
	}
	after, err := r.cpu()
	sample.percent = 100 * (after - before).Seconds() / time.Since(start).Seconds()
	fmt.Fprintf(b.log, "%s: idle with %.0f MiB of anonymous memory, %.0f MiB resident, %.2f %% of a core\n", p.name, sample.memory.Anonymous, sample.memory.RSS, sample.percent)
	return sample, err
}
