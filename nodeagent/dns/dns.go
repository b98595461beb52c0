// Package dns answers the cluster's names on the node itself, so that a pod's
// question never leaves its node for another, and tells the cluster whether it
// does. CoreDNS is linked in; it listens on the node's own address.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/coredns/caddy"
	"github.com/miekg/dns"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

const port = 53

// How often the server is asked whether it answers: until it does, and then.
const (
	startPoll  = 250 * time.Millisecond
	steadyPoll = 10 * time.Second
)

// DNS is one node's server.
type DNS struct {
	Node     nodeconfig.Node
	Identity client.Identity
	API      kubernetes.Interface
	// NodeUID returns the UID of the node's Node object, empty while there is
	// none.
	NodeUID func() types.UID
}

// Run serves until ctx ends.
func (d DNS) Run(ctx context.Context) error {
	if err := register(); err != nil {
		return fmt.Errorf("prepare CoreDNS: %w", err)
	}
	var server *caddy.Instance
	for {
		var err error
		server, err = caddy.Start(caddy.CaddyfileInput{
			Filepath:       "Corefile",
			Contents:       []byte(corefile(d.Node, d.Identity)),
			ServerTypeName: "dns",
		})
		if err == nil {
			break
		}
		slog.Error("cluster DNS does not start", "error", err)
		if !sleep(ctx, 2*time.Second) {
			return nil
		}
	}
	defer stop(server)
	d.watch(ctx)
	return nil
}

// watch publishes whether the server answers whenever that changes, and that it
// does not at the end.
func (d DNS) watch(ctx context.Context) {
	published, ready := false, false
	wait := startPoll
	for sleep(ctx, wait) {
		answers := d.answers(ctx)
		owner := d.NodeUID()
		if owner == "" || (published && answers == ready) {
			wait = pollAfter(published, ready)
			continue
		}
		if err := publish(ctx, d.API, endpointSlice(d.Node, owner, answers)); err != nil {
			slog.Warn("cluster DNS is not published", "error", err)
			published, wait = false, time.Second
			continue
		}
		slog.Info("cluster DNS", "ready", answers)
		published, ready = true, answers
		wait = pollAfter(published, ready)
	}
	if !published || !ready {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := publish(last, d.API, endpointSlice(d.Node, d.NodeUID(), false)); err != nil {
		slog.Warn("cluster DNS is still published as ready", "error", err)
	}
}

func pollAfter(published, ready bool) time.Duration {
	if published && ready {
		return steadyPoll
	}
	return startPoll
}

// answers reports whether the server knows the name that every cluster has.
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
	// A server that is stopped while it starts does not notice.
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
	}
}

// sleep is false if ctx ended first.
func sleep(ctx context.Context, duration time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(duration):
		return true
	}
}
