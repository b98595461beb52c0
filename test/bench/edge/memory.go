package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/process"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

const (
	// balancers is how many load balancers are added for the daemon's memory, and
	// goalMiB how much more it may use for them.
	balancers = 100
	goalMiB   = 25
	// firstPort is the port of the first of them.
	firstPort = 21000
	// settling is how long the memory is watched. The least value is taken, since
	// garbage stays until the next collection.
	settling = 30 * time.Second
)

// memory measures what load balancers add to the daemon's memory.
func (b *bench) memory(ctx context.Context) (figure.Figure, error) {
	before, err := b.settled(ctx)
	if err != nil {
		return figure.Figure{}, err
	}
	var manifests strings.Builder
	for i := range balancers {
		fmt.Fprintf(&manifests, `---
apiVersion: v1
kind: Service
metadata: {name: many-%d}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: %d, targetPort: 8080}]
`, i, firstPort+i)
	}
	apply := b.kubectl(ctx, "apply", "-f", "-")
	apply.Stdin = strings.NewReader(manifests.String())
	if err := apply.Run(); err != nil {
		return figure.Figure{}, fmt.Errorf("kubectl apply: %w", err)
	}
	if err := b.allAnswer(ctx); err != nil {
		return figure.Figure{}, err
	}
	after, err := b.settled(ctx)
	if err != nil {
		return figure.Figure{}, err
	}
	name := fmt.Sprintf("daemon's memory (PSS) for %d load balancers, beyond %.0f MiB", balancers, before)
	return figure.New(name, "MiB", after-before, goalMiB), nil
}

// settled returns the least memory of the daemon within a while.
func (b *bench) settled(ctx context.Context) (least float64, err error) {
	for began := time.Now(); time.Since(began) < settling; {
		used, err := process.Memory(b.daemon)
		if err != nil {
			return 0, err
		}
		if least == 0 || used.PSS < least {
			least = used.PSS
		}
		if err := pause.For(ctx, time.Second); err != nil {
			return 0, err
		}
	}
	return least, nil
}

// allAnswer waits until the host listens for all load balancers.
func (b *bench) allAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var all daemonapi.Services
		if err := b.skiff.Query(ctx, &all, "services", clusterName); err != nil {
			return err
		}
		answering := 0
		for _, s := range all.Services {
			if strings.HasPrefix(s.Name, "many-") && len(s.Ports) == 1 && len(s.Ports[0].Host) > 0 {
				answering++
			}
		}
		if answering == balancers {
			return nil
		}
		if err := pause.For(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("the host answers for %d of %d load balancers: %w", answering, balancers, err)
		}
	}
}
