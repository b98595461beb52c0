package dns

import (
	"context"
	"sync"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/kubernetes"

	// The plugins of the Corefile besides the directive, and those that the user's own
	// configuration may use.
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/rewrite"
)

// directive is the name of upstream's kubernetes plugin in the Corefile. Upstream's
// own setup replaces the logger of the whole process, which is also the kubelet's.
const directive = "cluster"

// directives are in the order in which plugins handle a query, as upstream's are.
var directives = []string{"bind", countDirective, "errors", "log", "loadbalance", "cache", "rewrite", "hosts", directive, "forward"}

// register prepares the library once in the life of the process, since its
// registries are global.
var register = sync.OnceValue(func() error {
	caddy.Quiet = true
	dnsserver.Quiet = true
	plugin.Register(directive, setup)
	plugin.Register(countDirective, setupCount)
	serveMetrics()
	if err := dnsserver.SetDirectives(directives); err != nil {
		return err
	}
	return dnsserver.Register()
})

// setup adds the plugin to a server.
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
