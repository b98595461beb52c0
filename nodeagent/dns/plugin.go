package dns

import (
	"context"
	"sync"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/kubernetes"

	// What the Corefile uses beside our own directive.
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/loadbalance"
)

// directive is upstream's kubernetes plugin under our own name. Upstream's set
// up replaces the logger of the whole process, which here is the kubelet's.
const directive = "cluster"

// register makes the library ready once in the life of the process: its
// registries are global.
var register = sync.OnceValue(func() error {
	caddy.Quiet = true
	dnsserver.Quiet = true
	plugin.Register(directive, setup)
	if err := dnsserver.SetDirectives([]string{"bind", "errors", "cache", "loadbalance", directive, "forward"}); err != nil {
		return err
	}
	return dnsserver.Register()
})

// setup adds the plugin to a server that is being configured.
func setup(c *caddy.Controller) error {
	c.Next()
	k, err := kubernetes.ParseStanza(c)
	if err != nil {
		return plugin.Error(directive, err)
	}
	start, shut, err := k.InitKubeCache(context.Background())
	if err != nil {
		return plugin.Error(directive, err)
	}
	c.OnStartup(start)
	c.OnShutdown(shut)
	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		k.Next = next
		return k
	})
	return nil
}
