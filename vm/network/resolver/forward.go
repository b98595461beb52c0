package resolver

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// minWait and maxWait bound how long a name server may take before the next one
	// is asked; in between it is what the host's configuration says.
	minWait = time.Second
	maxWait = 2 * time.Second
	// rounds is how often all servers are asked before the answer is SERVFAIL.
	rounds = 2
	// downAfter is how many queries in a row a server must leave unanswered to be
	// asked after the others, downFor for how long.
	downAfter = 2
	downFor   = 10 * time.Second
)

// errForeign is returned for a reply to another question.
var errForeign = errors.New("the reply does not belong to the query")

// nameserver is one of the host's name servers.
type nameserver struct {
	address string // host:port

	failures atomic.Int32 // in a row
	failed   atomic.Int64 // when it last failed, Unix time in nanoseconds
}

// down reports whether the server has recently left several queries unanswered.
func (n *nameserver) down(now time.Time) bool {
	return n.failures.Load() >= downAfter && now.Sub(time.Unix(0, n.failed.Load())) < downFor
}

func (n *nameserver) record(err error) {
	if err == nil {
		n.failures.Store(0)
		return
	}
	n.failures.Add(1)
	n.failed.Store(time.Now().UnixNano())
}

// inOrder returns the servers in the order in which they are asked: those that are
// down come last.
func inOrder(servers []*nameserver, now time.Time) (ordered []*nameserver, allDown bool) {
	var down []*nameserver
	for _, server := range servers {
		if server.down(now) {
			down = append(down, server)
		} else {
			ordered = append(ordered, server)
		}
	}
	return append(ordered, down...), len(ordered) == 0
}

// forward asks the host's name servers one after another, as resolv.conf(5) says,
// never several at once: they may know different names. It returns nil if none
// answers.
func (r *Resolver) forward(ctx context.Context, host nameservers, query *dns.Msg) *dns.Msg {
	servers, allDown := inOrder(host.responsible(query.Question[0].Name), time.Now())
	request, tries, wait := outgoing(query), rounds, host.wait
	if allDown {
		tries, wait = 1, minWait
	}
	var last *dns.Msg
	for range tries {
		for _, server := range servers {
			answer, err := r.ask(ctx, server.address, request, wait)
			if ctx.Err() != nil {
				return last
			}
			server.record(err)
			if err != nil {
				continue
			}
			if last = answer; !unhelpful(answer.Rcode) {
				return answer
			}
		}
	}
	return last
}

// unhelpful reports whether another server may know more than one that gave this
// code.
func unhelpful(code int) bool {
	return code == dns.RcodeServerFailure || code == dns.RcodeRefused || code == dns.RcodeNotImplemented
}

// outgoing returns what the host's name servers are asked: the question with an ID
// that the machine does not know.
func outgoing(query *dns.Msg) *dns.Msg {
	request := &dns.Msg{MsgHdr: dns.MsgHdr{
		Id: dns.Id(), RecursionDesired: query.RecursionDesired,
		CheckingDisabled: query.CheckingDisabled, AuthenticatedData: query.AuthenticatedData,
	}, Question: query.Question}
	if option := query.IsEdns0(); option != nil {
		request.SetEdns0(maxDatagram, option.Do())
	}
	return request
}

// ask asks one server, over TCP if the answer does not fit into a datagram, and
// without EDNS if the server does not understand that.
func (r *Resolver) ask(ctx context.Context, address string, request *dns.Msg, wait time.Duration) (*dns.Msg, error) {
	answer, err := r.exchange(ctx, "udp", address, request, wait)
	if err == nil && request.IsEdns0() != nil && answer.IsEdns0() == nil &&
		(answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented) {
		plain := request.Copy()
		plain.Extra = nil
		request = plain
		answer, err = r.exchange(ctx, "udp", address, request, wait)
	}
	if err != nil || !answer.Truncated {
		return answer, err
	}
	whole, err := r.exchange(ctx, "tcp", address, request, wait)
	if err != nil {
		return answer, nil // a part is better than nothing
	}
	return whole, nil
}

// exchange sends a message and returns the reply to it.
func (r *Resolver) exchange(ctx context.Context, network, address string, request *dns.Msg, wait time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := r.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	client := dns.Client{Net: network, Timeout: wait}
	answer, _, err := client.ExchangeWithConnContext(ctx, request, &dns.Conn{Conn: conn})
	switch {
	case err != nil:
		return nil, err
	case !answer.Response || !sameQuestion(answer.Question, request.Question[0]):
		return nil, errForeign
	}
	return answer, nil
}

// sameQuestion reports whether a reply repeats the question. Servers may leave it
// out of an error.
func sameQuestion(got []dns.Question, want dns.Question) bool {
	if len(got) == 0 {
		return true
	}
	return len(got) == 1 && got[0].Qtype == want.Qtype && got[0].Qclass == want.Qclass && strings.EqualFold(got[0].Name, want.Name)
}
