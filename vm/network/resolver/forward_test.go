package resolver

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/skiff-dev/skiff/internal/runtest"
)

func TestServerThatIsDownGivesServfailAtOnce(t *testing.T) {
	refused := fmt.Sprintf("127.0.0.1:%d", runtest.FreePort(t))
	for name, to := range map[string]string{"unreachable": down, "nobody listens": refused} {
		w := newWorld(t, map[string]string{"192.0.2.1": to}, "nameserver 192.0.2.1\n", "")
		began := time.Now()
		reply := ask(t, "udp", run(t, w.resolver()), question("corp.test", dns.TypeA))
		if reply.Rcode != dns.RcodeServerFailure || time.Since(began) > 2*time.Second {
			t.Errorf("%s: %s after %s", name, dns.RcodeToString[reply.Rcode], time.Since(began))
		}
	}
}

func TestNextServerIsAskedWhenOneFails(t *testing.T) {
	good := serve(t, zone(t))
	for name, first := range map[string]string{
		"refuses connections": down,
		"SERVFAIL":            serve(t, answering(dns.RcodeServerFailure, new(atomic.Int32))),
		"REFUSED":             serve(t, answering(dns.RcodeRefused, new(atomic.Int32))),
	} {
		w := newWorld(t, map[string]string{"192.0.2.1": first, "192.0.2.2": good}, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n", "")
		if reply := ask(t, "udp", run(t, w.resolver()), question("intranet.corp.test", dns.TypeA)); len(reply.Answer) != 1 {
			t.Errorf("%s: got %v", name, reply)
		}
	}
}

func TestNextServerIsNotAskedWhenOneKnowsThatANameDoesNotExist(t *testing.T) {
	var others atomic.Int32
	w := newWorld(t, map[string]string{
		"192.0.2.1": serve(t, answering(dns.RcodeNameError, new(atomic.Int32))), "192.0.2.2": serve(t, answering(dns.RcodeSuccess, &others)),
	}, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n", "")
	reply := ask(t, "udp", run(t, w.resolver()), question("none.corp.test", dns.TypeA))
	if reply.Rcode != dns.RcodeNameError || others.Load() > 0 {
		t.Errorf("%s; the other server was asked %d times", dns.RcodeToString[reply.Rcode], others.Load())
	}
}

func TestSilentServerIsAskedLastAfterTwoQueries(t *testing.T) {
	w := newWorld(t, map[string]string{"192.0.2.2": serve(t, zone(t))}, "options timeout:1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n", "")
	address := run(t, w.resolver())
	for i := range downAfter + 1 {
		before := w.asked.Load()
		reply := ask(t, "udp", address, question("intranet.corp.test", dns.TypeA))
		want := map[bool]int32{true: 2, false: 1}[i < downAfter]
		if asked := w.asked.Load() - before; len(reply.Answer) != 1 || asked != want {
			t.Errorf("query %d: %d records after asking %d servers, want %d", i, len(reply.Answer), asked, want)
		}
	}
}

func TestDownServerIsTriedAgainAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &nameserver{address: "first"}, &nameserver{address: "second"}
		for range downAfter {
			first.record(errForeign)
		}
		servers := []*nameserver{first, second}
		if ordered, allDown := inOrder(servers, time.Now()); ordered[0] != second || allDown {
			t.Error("the server that is down comes first")
		}
		time.Sleep(downFor)
		if ordered, _ := inOrder(servers, time.Now()); ordered[0] != first {
			t.Error("the server is not tried again")
		}
		first.record(nil)
		if first.down(time.Now()) {
			t.Error("a server that answers is down")
		}
	})
}

func TestQueryAsksEachServerAtMostTwice(t *testing.T) {
	w := newWorld(t, map[string]string{"192.0.2.1": down, "192.0.2.2": down, "192.0.2.3": down, "192.0.2.4": down},
		"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", "")
	ask(t, "udp", run(t, w.resolver()), question("corp.test", dns.TypeA))
	if n := w.asked.Load(); n != rounds*maxServers {
		t.Errorf("asked %d times", n)
	}
}

func TestReplyToAnotherQuestionIsNotBelieved(t *testing.T) {
	liar := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		reply.Question = []dns.Question{{Name: "evil.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}
		_ = w.WriteMsg(reply)
	})
	w := newWorld(t, map[string]string{"192.0.2.1": serve(t, liar)}, "nameserver 192.0.2.1\n", "")
	if reply := ask(t, "udp", run(t, w.resolver()), question("corp.test", dns.TypeA)); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v", reply)
	}
}
