// Package resolver answers DNS queries as the host resolves names: from the host's
// hosts file, else by its name servers, in their order and by their domains. It
// follows changes of both within seconds and keeps no answers. Messages are parsed
// by a DNS library alone, and no machine has more than its share of queries.
package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"
)

// Bounds for one machine.
const (
	queriesPerSecond = 500
	queryBurst       = 1000
	// maxUnderWay is how many queries may wait for the host's name servers, each of
	// which holds a socket.
	maxUnderWay = 128
)

const (
	// maxDatagram is the largest message over UDP, chosen so that it is not
	// fragmented (https://www.dnsflagday.net/2020/).
	maxDatagram = 1232
	// answerLimit bounds the time for an answer. Clients give up after five seconds.
	answerLimit = 4 * time.Second
)

// Config of a Resolver. Zero fields but Machines have defaults.
type Config struct {
	// Machines are the addresses that may ask.
	Machines netip.Prefix
	// Names returns the address of a name below Zone, or of another name that is not
	// looked up elsewhere. Names are fully qualified and in lower case.
	Names func(name string) (netip.Addr, bool)
	// Host is the address at which machines reach the host's loopback. Names that the
	// hosts file maps to loopback get it; without it, they are not answered.
	Host netip.Addr
	// ResolvConf and Hosts are the host's files, by default those in /etc.
	ResolvConf, Hosts string
	// Dial connects to a name server.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Resolver answers queries.
type Resolver struct {
	machines netip.Prefix
	names    func(name string) (netip.Addr, bool)
	hosts    *follower[hosts]
	servers  source
	dial     func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex // guards shares
	shares map[netip.Addr]*share
}

// share is what a machine uses.
type share struct {
	rate     *rate.Limiter
	underWay int
}

// source is where the host's name servers are configured.
type source interface {
	get(now time.Time) nameservers
}

// New returns a Resolver for the host's configuration.
func New(config Config) *Resolver {
	dial := config.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	resolvConf := cmp.Or(config.ResolvConf, defaultResolvConf)
	return &Resolver{
		machines: config.Machines.Masked(),
		names:    config.Names,
		hosts: &follower[hosts]{path: cmp.Or(config.Hosts, defaultHosts), parse: func(content []byte) hosts {
			return parseHosts(content, config.Host)
		}},
		servers: hostSource(&follower[nameservers]{path: resolvConf, parse: parseResolvConf}),
		dial:    dial,
		shares:  map[netip.Addr]*share{},
	}
}

// Serve answers queries until ctx ends. It closes both.
func (r *Resolver) Serve(ctx context.Context, packets net.PacketConn, listener net.Listener) error {
	// Queries under way end with the first server that does, or the other one would
	// wait for them.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) { r.serve(ctx, w, query) })
	servers := []*dns.Server{
		{PacketConn: packets, Handler: handler, UDPSize: maxDatagram, ReadTimeout: time.Hour},
		{Listener: listener, Handler: handler},
	}
	failed := make([]error, len(servers))
	var all sync.WaitGroup
	for i, server := range servers {
		all.Go(func() {
			defer cancel()
			if err := server.ActivateAndServe(); err != nil && ctx.Err() == nil {
				failed[i] = fmt.Errorf("answer DNS queries: %w", err)
			}
		})
	}
	<-ctx.Done()
	_, _ = packets.Close(), listener.Close()
	for _, server := range servers {
		_ = server.Shutdown() // an error means that it has ended
	}
	all.Wait()
	return errors.Join(failed...)
}

// serve answers one query. A machine that sends too many gets no answer, so that it
// waits.
func (r *Resolver) serve(ctx context.Context, w dns.ResponseWriter, query *dns.Msg) {
	machine, err := netip.ParseAddrPort(w.RemoteAddr().String())
	if err != nil || !r.machines.Contains(machine.Addr()) || !r.allows(machine.Addr()) {
		_ = w.Close()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	reply := r.reply(ctx, machine.Addr(), query)
	if w.RemoteAddr().Network() == "udp" {
		size := dns.MinMsgSize
		if option := query.IsEdns0(); option != nil {
			size = min(int(option.UDPSize()), maxDatagram)
		}
		reply.Truncate(size)
	}
	// A machine that has gone needs no answer.
	_ = w.WriteMsg(reply)
}

// reply returns the answer to a query.
func (r *Resolver) reply(ctx context.Context, machine netip.Addr, query *dns.Msg) *dns.Msg {
	if code := refusal(query); code != dns.RcodeSuccess {
		return respond(query, &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: code}})
	}
	if own := r.own(query.Question[0]); own != nil {
		return respond(query, own)
	}
	now := time.Now()
	if records, known := r.hosts.get(now).answer(query.Question[0]); known {
		return respond(query, &dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true, RecursionAvailable: true}, Answer: records})
	}
	failure := &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeServerFailure, RecursionAvailable: true}}
	if !r.begin(machine) {
		return respond(query, failure)
	}
	defer r.end(machine)
	answer := r.forward(ctx, r.servers.get(now), query)
	if answer == nil {
		answer = failure
	}
	return respond(query, answer)
}

// refusal returns the code of a query that is not forwarded: only questions about
// records are, and no transfers of zones.
func refusal(query *dns.Msg) int {
	if len(query.Question) != 1 { // the library accepts a header alone
		return dns.RcodeFormatError
	}
	option := query.IsEdns0()
	switch question := query.Question[0]; {
	case query.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented
	case option != nil && option.Version() != 0:
		return dns.RcodeBadVers
	case question.Qclass != dns.ClassINET, question.Qtype == dns.TypeOPT,
		question.Qtype >= dns.TypeTKEY && question.Qtype < dns.TypeANY:
		return dns.RcodeRefused
	}
	return dns.RcodeSuccess
}

// respond turns an answer into the reply to a query. What concerns only the hop to
// the name server, such as EDNS options, does not get into it (RFC 6891).
func respond(query, answer *dns.Msg) *dns.Msg {
	reply := &dns.Msg{
		MsgHdr: answer.MsgHdr, Compress: true,
		Question: query.Question, Answer: answer.Answer, Ns: answer.Ns,
	}
	reply.Id, reply.Response, reply.Opcode = query.Id, true, query.Opcode
	reply.RecursionDesired, reply.CheckingDisabled = query.RecursionDesired, query.CheckingDisabled
	for _, record := range answer.Extra {
		if kind := record.Header().Rrtype; kind != dns.TypeOPT && kind != dns.TypeTSIG && kind != dns.TypeSIG {
			reply.Extra = append(reply.Extra, record)
		}
	}
	if option := query.IsEdns0(); option != nil {
		reply.SetEdns0(maxDatagram, option.Do())
	} else if reply.Rcode > 0xf {
		reply.Rcode = dns.RcodeServerFailure // it has no room without EDNS
	}
	return reply
}

// allows reports whether a machine may ask now.
func (r *Resolver) allows(machine netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.share(machine).rate.Allow()
}

// begin reports whether a machine may have one more query under way.
func (r *Resolver) begin(machine netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.share(machine)
	if s.underWay >= maxUnderWay {
		return false
	}
	s.underWay++
	return true
}

func (r *Resolver) end(machine netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.share(machine).underWay--
}

// share returns a machine's share. The caller holds r.mu.
func (r *Resolver) share(machine netip.Addr) *share {
	if r.shares[machine] == nil {
		r.shares[machine] = &share{rate: rate.NewLimiter(queriesPerSecond, queryBurst)}
	}
	return r.shares[machine]
}
