package resolver

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// section is one resolver in the output of scutil --dns.
type section struct {
	domain, port string
	multicast    bool
	order        int
	servers      []netip.Addr
}

// parseScutil adds the name servers in the output of "scutil --dns" to those of
// resolv.conf: on macOS a VPN may have name servers for its own domains, which
// resolv.conf does not show. Only the part for all interfaces counts.
func parseScutil(output []byte, otherwise nameservers) nameservers {
	n := otherwise
	var general []*nameserver
	for _, s := range sections(output) {
		servers := s.nameservers()
		switch {
		case s.multicast || len(servers) == 0:
		case s.domain == "":
			general = append(general, servers...)
		default:
			n.domains = append(n.domains, domain{dns.CanonicalName(s.domain), servers})
		}
	}
	if len(general) > 0 {
		n.servers = general[:min(len(general), maxServers)]
	}
	slices.SortStableFunc(n.domains, func(a, b domain) int { return dns.CountLabel(b.name) - dns.CountLabel(a.name) })
	return n
}

// sections returns the resolvers in the order in which macOS asks them.
func sections(output []byte) []section {
	var all []section
	lines := bufio.NewScanner(bytes.NewReader(output))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "DNS configuration (for scoped") {
			break
		}
		switch {
		case strings.HasPrefix(line, "resolver #"):
			all = append(all, section{port: "53"})
		case len(all) > 0:
			if key, value, ok := strings.Cut(line, ":"); ok {
				all[len(all)-1].set(strings.TrimSpace(key), strings.TrimSpace(value))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b section) int { return a.order - b.order })
	return all
}

func (s *section) set(key, value string) {
	switch {
	case key == "domain":
		if _, ok := dns.IsDomainName(value); ok {
			s.domain = strings.TrimSuffix(value, ".")
		}
	case key == "port":
		if _, err := strconv.ParseUint(value, 10, 16); err == nil {
			s.port = value
		}
	case key == "options":
		s.multicast = s.multicast || strings.Contains(value, "mdns")
	case key == "order":
		if order, err := strconv.ParseInt(value, 10, 32); err == nil {
			s.order = int(order)
		}
	case strings.HasPrefix(key, "nameserver["):
		if address, err := netip.ParseAddr(value); err == nil && len(s.servers) < maxServers {
			s.servers = append(s.servers, address)
		}
	}
}

func (s *section) nameservers() []*nameserver {
	var servers []*nameserver
	for _, address := range s.servers {
		servers = append(servers, &nameserver{address: net.JoinHostPort(address.String(), s.port)})
	}
	return servers
}
