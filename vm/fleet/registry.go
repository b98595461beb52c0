package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/registry/gateway"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

const (
	// restarted is how often a registry that the user stopped is looked for.
	restarted = 5 * time.Second
	// announceAgain is how often the API is tried until it knows the registry.
	announceAgain = 2 * time.Second
)

// registryUser lets the cluster use the user's registry, as the spec asks.
type registryUser struct {
	core
	client *client.Client
	listen func(port uint16) (net.Listener, error) // at the nodes' gateway

	changed wakeup.Signal // sent when the spec may have changed
	address chan string   // where images are pushed to, empty if nowhere; the latest only
}

func newRegistryUser(c core, registry *client.Client, listen func(uint16) (net.Listener, error)) *registryUser {
	return &registryUser{
		core: c, client: registry, listen: listen,
		changed: wakeup.New(), address: make(chan string, 1),
	}
}

// wake lets use look at the spec again.
func (r *registryUser) wake() {
	r.changed.Send()
}

// untilChanged returns a context that ends with ctx or with the next signal.
func untilChanged(ctx context.Context, signal <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-signal:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// use keeps the registry running until ctx ends.
func (r *registryUser) use(ctx context.Context) error {
	for ctx.Err() == nil {
		spec := r.state.spec()
		current, cancel := untilChanged(ctx, r.changed)
		err := r.useAs(current, spec)
		changed := current.Err() != nil
		cancel()
		if err != nil && !changed {
			return err
		}
	}
	return nil
}

// useAs uses the registry until ctx ends.
func (r *registryUser) useAs(ctx context.Context, spec cluster.Spec) error {
	if spec.Registry.Disabled {
		r.announceLater("")
		<-ctx.Done()
		return nil
	}
	use := registryapi.Use{
		Cluster: spec.Name, Mirrors: spec.Registry.Mirrors, Insecure: spec.Registry.Insecure, Egress: spec.Network.Egress,
		Proxy: cluster.HostProxy(spec), Authorities: spec.Environment.Authorities,
	}
	begun := func(status registryapi.Status) { r.announceLater(status.Address) }
	for ctx.Err() == nil {
		switch err := r.client.Use(ctx, use, begun); {
		case errors.Is(err, client.ErrStopped):
			r.log.Info("the user stopped the registry; nodes pull directly")
			r.awaitStart(ctx)
		case errors.Is(err, client.ErrNotRunning):
			if _, err := r.client.Start(ctx); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("use the registry: %w", err)
		}
	}
	return nil
}

// awaitStart waits until the user has started the registry again.
func (r *registryUser) awaitStart(ctx context.Context) {
	for pause.For(ctx, restarted) == nil {
		if _, err := r.client.Status(ctx); err == nil {
			return
		}
	}
}

func (r *registryUser) announceLater(address string) {
	select {
	case <-r.address: // an older one
	default:
	}
	r.address <- address
}

// announce keeps the announcement of the registry in the cluster up to date.
func (r *registryUser) announce(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case address := <-r.address:
			for r.tell(ctx, address) != nil {
				if pause.For(ctx, announceAgain) != nil {
					return nil
				}
				select {
				case address = <-r.address:
				default:
				}
			}
		}
	}
}

func (r *registryUser) tell(ctx context.Context, address string) error {
	if address == "" {
		return r.api.kube.WithdrawRegistry(ctx)
	}
	return r.api.kube.AnnounceRegistry(ctx, address)
}

// serve lets nodes pull from the registry until ctx ends. It listens also while the
// cluster does not use the registry, which then refuses: a port that was closed cannot
// be opened again for a while, and nodes pull directly either way.
func (r *registryUser) serve(ctx context.Context) error {
	listener, err := r.listen(nodeconfig.PortRegistry)
	if err != nil {
		return fmt.Errorf("listen for pulls of nodes: %w", err)
	}
	config := gateway.Config{Cluster: r.state.spec().Name, Registry: r.client.Dial, Log: r.log}
	return gateway.New(config).Serve(ctx, listener)
}
