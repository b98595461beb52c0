package resolver

import (
	"bytes"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	defaultResolvConf = "/etc/resolv.conf"
	defaultHosts      = "/etc/hosts"
)

// Bounds of the host's configuration.
const (
	maxServers = 3 // as in resolv.conf(5)
	maxSearch  = 16
)

// nameservers is the host's configuration.
type nameservers struct {
	// servers answer for all names but those in domains.
	servers []*nameserver
	// domains have name servers of their own, the longest first.
	domains []domain
	// search are the domains that names without dots are looked up in, without a
	// dot at the end.
	search []string
	// wait is how long a server may take.
	wait time.Duration
}

// domain is a domain that has name servers of its own, as a VPN configures it.
type domain struct {
	name    string // fully qualified, lower case
	servers []*nameserver
}

// responsible returns the servers for a name.
func (n nameservers) responsible(name string) []*nameserver {
	name = dns.CanonicalName(name)
	for _, domain := range n.domains {
		if dns.IsSubDomain(domain.name, name) {
			return domain.servers
		}
	}
	return n.servers
}

// parseResolvConf reads resolv.conf(5). Without a name server in it, the host asks
// its own.
func parseResolvConf(content []byte) nameservers {
	parsed, err := dns.ClientConfigFromReader(bytes.NewReader(content))
	if err != nil {
		parsed = &dns.ClientConfig{Port: "53", Timeout: int(maxWait / time.Second)}
	}
	n := nameservers{
		search: searchDomains(parsed.Search),
		wait:   min(max(time.Duration(min(parsed.Timeout, 60))*time.Second, minWait), maxWait),
	}
	for _, server := range parsed.Servers {
		if address, err := netip.ParseAddr(server); err == nil && len(n.servers) < maxServers {
			n.servers = append(n.servers, &nameserver{address: net.JoinHostPort(address.String(), parsed.Port)})
		}
	}
	if len(n.servers) == 0 {
		n.servers = []*nameserver{{address: net.JoinHostPort("127.0.0.1", parsed.Port)}}
	}
	return n
}

var label = regexp.MustCompile(`^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?$`)

// searchDomains returns the valid domains, each once.
func searchDomains(names []string) []string {
	var domains []string
	for _, name := range names {
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		invalid := func(part string) bool { return !label.MatchString(part) }
		if len(name) > 253 || slices.ContainsFunc(strings.Split(name, "."), invalid) ||
			slices.Contains(domains, name) || len(domains) == maxSearch {
			continue
		}
		domains = append(domains, name)
	}
	return domains
}

// Search follows the domains in which the host looks up names without dots.
type Search struct{ file *follower[nameservers] }

// NewSearch returns those of a resolv.conf(5), by default the one in /etc.
func NewSearch(resolvConf string) Search {
	if resolvConf == "" {
		resolvConf = defaultResolvConf
	}
	return Search{&follower[nameservers]{path: resolvConf, parse: parseResolvConf}}
}

// Domains returns the current domains, without trailing dots.
func (s Search) Domains() []string { return slices.Clone(s.file.get(time.Now()).search) }
