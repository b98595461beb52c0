package resolver

import (
	"net"

	"github.com/miekg/dns"
)

// Zone is the domain of the names that the network itself answers for.
const Zone = "skiff.internal."

// ownTTL is how long those answers may be cached, in seconds.
const ownTTL = 5

// own returns the answer for a name of the network, nil if it is not one.
func (r *Resolver) own(question dns.Question) *dns.Msg {
	name := dns.CanonicalName(question.Name)
	inside := dns.IsSubDomain(Zone, name)
	if r.names == nil {
		return nil
	}
	address, exists := r.names(name)
	if !inside && !exists {
		return nil
	}
	answer := &dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true, RecursionAvailable: true}}
	header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: ownTTL}
	switch {
	case exists && question.Qtype == dns.TypeA:
		answer.Answer = []dns.RR{&dns.A{Hdr: header, A: net.IP(address.AsSlice())}}
	case name == Zone && question.Qtype == dns.TypeSOA:
		answer.Answer = []dns.RR{authorityRecord()}
	case inside:
		answer.Ns = []dns.RR{authorityRecord()}
		if !exists && name != Zone {
			answer.Rcode = dns.RcodeNameError
		}
	}
	return answer
}

// authorityRecord lets caches forget for how long a name does not exist.
func authorityRecord() dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: Zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ownTTL},
		Ns:  "ns." + Zone, Mbox: "hostmaster." + Zone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ownTTL,
	}
}
