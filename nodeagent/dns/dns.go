// Package dns runs cluster DNS on the node itself, so that a pod's query never goes
// to another node, and publishes whether it answers. CoreDNS is linked in and
// listens on the node's own address.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/coredns/caddy"
	"github.com/miekg/dns"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

const port = 53

// The periods of the server's health check: until it first answers, and after that.
const (
	startPoll  = 250 * time.Millisecond
	steadyPoll = 10 * time.Second
)

// startRetry is the pause after a failed start.
const startRetry = 2 * time.Second

// DNS is one node's server.
type DNS struct {
	Node     nodeconfig.Node
	Identity client.Identity
	API      kubernetes.Interface
	// AlarmFile is where the error in the user's configuration is reported.
	AlarmFile string
	// NodeUID returns the UID of the node's Node object, "" if there is none.
	NodeUID func() types.UID
}

// Run serves until ctx ends.
func (d DNS) Run(ctx context.Context) error {
	if err := register(); err != nil {
		return fmt.Errorf("prepare CoreDNS: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var server *caddy.Instance
	for {
		var err error
		if server, err = caddy.Start(d.input(custom{})); err == nil {
			break
		}
		slog.Error("cannot start cluster DNS, retrying", "error", err)
		if pause.For(ctx, startRetry) != nil {
			return nil
		}
	}
	defer func() { stop(server) }()
	changed := wakeup.New()
	lister, err := d.followCustom(ctx, changed)
	if err != nil {
		return err
	}
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() { d.watch(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		data, err := content(lister)
		if err == nil {
			server, err = d.adopt(server, data)
		}
		if err != nil {
			slog.Error("cannot use the user's configuration of cluster DNS", "error", err)
		}
		if err := d.tell(err); err != nil {
			slog.Warn("cannot report the state of the user's configuration of cluster DNS", "error", err)
		}
	}
}

func (d DNS) input(own custom) caddy.Input {
	return caddy.CaddyfileInput{
		Filepath: "Corefile", Contents: []byte(corefile(d.Node, d.Identity, own)), ServerTypeName: "dns",
	}
}

// adopt replaces the server by one with the user's configuration. With the error for
// an invalid configuration it returns the unchanged server.
func (d DNS) adopt(server *caddy.Instance, data map[string]string) (*caddy.Instance, error) {
	own, err := parseCustom(data, d.Node)
	if err != nil {
		return server, err
	}
	next, err := server.Restart(d.input(own))
	if err != nil {
		return server, fmt.Errorf("configure cluster DNS: %w", err)
	}
	slog.Info("cluster DNS uses a new configuration of the user", "keys", len(data))
	return next, nil
}

// watch publishes whether the server answers whenever that changes, and at the end
// that it does not.
func (d DNS) watch(ctx context.Context) {
	published, ready := false, false
	wait := startPoll
	for pause.For(ctx, wait) == nil {
		answers := d.answers(ctx)
		owner := d.NodeUID()
		if owner == "" || (published && answers == ready) {
			wait = pollAfter(published, ready)
			continue
		}
		if err := publish(ctx, d.API, endpointSlice(d.Node, owner, answers)); err != nil {
			slog.Warn("cannot publish the state of cluster DNS, retrying", "error", err)
			published, wait = false, time.Second
			continue
		}
		slog.Info("cluster DNS changed", "ready", answers)
		published, ready = true, answers
		wait = pollAfter(published, ready)
	}
	if !published || !ready {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := publish(last, d.API, endpointSlice(d.Node, d.NodeUID(), false)); err != nil {
		slog.Warn("cannot publish the end of cluster DNS", "error", err)
	}
}

func pollAfter(published, ready bool) time.Duration {
	if published && ready {
		return steadyPoll
	}
	return startPoll
}

// answers reports whether the server resolves a name that every cluster has.
func (d DNS) answers(ctx context.Context) bool {
	question := new(dns.Msg).SetQuestion("kubernetes.default.svc."+dns.Fqdn(d.Node.Kubernetes.DNSDomain), dns.TypeA)
	web := dns.Client{Timeout: 2 * time.Second}
	address := net.JoinHostPort(d.Node.Network.Address.Addr().String(), strconv.Itoa(port))
	answer, _, err := web.ExchangeContext(ctx, question, address)
	return err == nil && answer.Rcode == dns.RcodeSuccess && len(answer.Answer) > 0
}

func stop(server *caddy.Instance) {
	if err := errors.Join(errors.Join(server.ShutdownCallbacks()...), server.Stop()); err != nil {
		slog.Warn("cluster DNS did not stop cleanly", "error", err)
	}
	ended := make(chan struct{})
	go func() {
		server.Wait()
		close(ended)
	}()
	// A server that is stopped while it is starting never ends.
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
	}
}
