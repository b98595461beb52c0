package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// How long a part that ended waits before it starts again, and how long it must
// have run before the wait begins from the start.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
	healthyAfter = 5 * time.Second
)

// parts are the goroutines that serve an open cluster until it is closed. A part
// that ends is started again.
type parts struct {
	log   *slog.Logger
	run   func(func(ctx context.Context)) // starts a goroutine whose context ends with the parts
	close func()                          // ends all goroutines and waits for them
	// within returns a context that ends with ctx, with the parts, or when it is cancelled.
	within func(ctx context.Context) (context.Context, context.CancelFunc)

	mu       sync.Mutex        // guards problems
	problems map[string]string // why parts do not run, by name
}

func newParts(ctx context.Context, log *slog.Logger) *parts {
	ctx, cancel := context.WithCancel(ctx)
	life := ctx
	var all sync.WaitGroup
	var closing sync.Mutex // a WaitGroup must not grow from zero while it is waited for
	return &parts{
		log: log, problems: map[string]string{},
		run: func(f func(context.Context)) {
			closing.Lock()
			defer closing.Unlock()
			if ctx.Err() == nil {
				all.Go(func() { f(ctx) })
			}
		},
		close: func() {
			closing.Lock()
			cancel()
			closing.Unlock()
			all.Wait()
		},
		within: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			release := context.AfterFunc(life, cancel)
			return ctx, func() {
				release()
				cancel()
			}
		},
	}
}

// keep runs a part and starts it again, with back-off, whenever it ends.
func (p *parts) keep(name string, run func(context.Context) error) {
	p.run(func(ctx context.Context) {
		for pause := firstPause; ; pause = min(2*pause, longestPause) {
			began := time.Now()
			healthy := time.AfterFunc(healthyAfter, func() { p.set(name, nil) })
			err := run(ctx)
			healthy.Stop()
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("it ended unexpectedly")
			}
			p.log.Error("a part of the daemon ended and is started again", "part", name, "error", err)
			p.set(name, err)
			if time.Since(began) >= healthyAfter {
				pause = firstPause
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	})
}

func (p *parts) set(name string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.problems, name)
	if err != nil {
		p.problems[name] = fmt.Sprintf("A part of the daemon, %s, failed and is started again: %v. If this persists, run \"skiff stop\" and \"skiff up\".", name, err)
	}
}

// failing returns one line for users for each part that does not run.
func (p *parts) failing() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Values(p.problems))
}
