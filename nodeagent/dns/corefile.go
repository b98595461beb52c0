package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// ttlSeconds is how long clients may cache an answer about the cluster. It is
// upstream's default, short because Services come and go.
const ttlSeconds = 5

// How long answers about other names are cached. A name that did not exist, or for
// which no server answered, may exist seconds later, when a VPN is up.
const (
	cacheSeconds  = 30
	deniedSeconds = 5
	cacheSize     = 9984 // answers, upstream's default
	failedFor     = time.Second
)

// answerLimit is longer than the gateway takes when none of the host's name servers
// answers.
const answerLimit = 4500 * time.Millisecond

// corefile returns the server's configuration
// (https://coredns.io/2017/07/23/corefile-explained/): the cluster's names and
// addresses come from the API server, all others from the node's name servers. The
// user's configuration is appended. Upstream's loop detection exits the process, so it
// is not used; a name server that is the node itself is excluded instead.
func corefile(node nodeconfig.Node, identity client.Identity, own custom) string {
	address := node.Network.Address.Addr()
	var b strings.Builder
	line := func(format string, arguments ...any) { fmt.Fprintf(&b, format+"\n", arguments...) }
	line(".:%d {", port)
	line("  bind %s", address)
	line("  %s", countDirective)
	line("  errors")
	line("  %s %s in-addr.arpa ip6.arpa {", directive, node.Kubernetes.DNSDomain)
	line("    endpoint %s", client.Server)
	line("    tls %s %s %s", identity.Certificate, identity.Key, identity.CA)
	line("    pods insecure")
	line("    ttl %d", ttlSeconds)
	line("    startup_timeout 30s")
	line("    fallthrough in-addr.arpa ip6.arpa")
	line("  }")
	if servers := resolvers(node); len(servers) > 0 {
		line("  forward . %s {", strings.Join(servers, " "))
		line("    max_concurrent 1000")
		// The gateway finds out which of the host's name servers answer.
		line("    max_fails 0")
		line("    read_timeout %s", answerLimit)
		line("  }")
	}
	line("  cache %d {", cacheSeconds)
	line("    denial %d %d", cacheSize, deniedSeconds)
	line("    servfail %s", failedFor)
	line("    disable success %s", node.Kubernetes.DNSDomain)
	line("    disable denial %s", node.Kubernetes.DNSDomain)
	line("  }")
	line("  loadbalance")
	b.WriteString(own.lines)
	line("}")
	b.WriteString(own.servers)
	return b.String()
}

// resolvers returns the node's name servers, without those that would query this
// server again.
func resolvers(node nodeconfig.Node) []string {
	var servers []string
	itself := []netip.Addr{node.Network.Address.Addr(), node.Kubernetes.DNSAddress}
	for _, server := range node.Network.Nameservers {
		if !slices.Contains(itself, server) {
			servers = append(servers, server.String())
		}
	}
	return servers
}
