package resolver

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// hostsTTL is how long a name of the hosts file may be cached, in seconds.
const hostsTTL = 5

// hosts is the content of a hosts file (hosts(5)): addresses by name and names by
// the reverse name of their address, all fully qualified and in lower case.
type hosts struct {
	addresses map[string][]netip.Addr
	names     map[string][]string
}

// parseHosts reads a hosts file. Names for the host's loopback, which would lead a
// pod to itself, get the address at which machines reach it; without one they are
// left out. Only "localhost" stays what it is.
func parseHosts(content []byte, loopback netip.Addr) hosts {
	h := hosts{addresses: map[string][]netip.Addr{}, names: map[string][]string{}}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		address, err := netip.ParseAddr(fields[0])
		if err != nil || address.Zone() != "" {
			continue
		}
		h.add(address.Unmap(), fields[1:], loopback)
	}
	return h
}

func (h hosts) add(address netip.Addr, names []string, loopback netip.Addr) {
	for _, name := range names {
		full := dns.CanonicalName(name)
		if _, ok := dns.IsDomainName(full); !ok || full == "." {
			continue
		}
		if address.IsLoopback() && full != "localhost." {
			if loopback.IsValid() && !slices.Contains(h.addresses[full], loopback) {
				h.addresses[full] = append(h.addresses[full], loopback)
			}
			continue
		}
		h.addresses[full] = append(h.addresses[full], address)
		if reverse, err := dns.ReverseAddr(address.String()); err == nil {
			h.names[reverse] = append(h.names[reverse], full)
		}
	}
}

// answer returns the records for a question, and false if the hosts file does not
// have the name. A name with an address of one family has none of the other.
func (h hosts) answer(question dns.Question) (records []dns.RR, known bool) {
	name := dns.CanonicalName(question.Name)
	header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: hostsTTL}
	switch question.Qtype {
	case dns.TypeA, dns.TypeAAAA:
		addresses, known := h.addresses[name]
		for _, address := range addresses {
			ip := net.IP(address.AsSlice())
			switch {
			case question.Qtype == dns.TypeA && address.Is4():
				records = append(records, &dns.A{Hdr: header, A: ip})
			case question.Qtype == dns.TypeAAAA && address.Is6():
				records = append(records, &dns.AAAA{Hdr: header, AAAA: ip})
			}
		}
		return records, known
	case dns.TypePTR:
		names, known := h.names[name]
		for _, name := range names {
			records = append(records, &dns.PTR{Hdr: header, Ptr: name})
		}
		return records, known
	}
	return nil, false
}
