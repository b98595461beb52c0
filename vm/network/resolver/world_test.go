package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// machines are the addresses of the tests' clients.
var machines = netip.MustParsePrefix("127.0.0.0/8")

// zone answers like the authority of corp.test.
func zone(t testing.TB) dns.HandlerFunc {
	records := map[string][]dns.RR{}
	for _, text := range []string{
		`corp.test. 300 IN SOA ns.corp.test. hostmaster.corp.test. 1 1200 120 1209600 30`,
		`corp.test. 300 IN CAA 0 issue "ca.example"`,
		`intranet.corp.test. 300 IN A 192.0.2.20`,
		`intranet.corp.test. 300 IN HTTPS 1 . alpn="h2"`,
		`six.corp.test. 300 IN AAAA 2001:db8::6`,
		`_acme-challenge.corp.test. 300 IN TXT "token"`,
		`_db._tcp.corp.test. 300 IN SRV 0 0 5432 intranet.corp.test.`,
		`20.2.0.192.in-addr.arpa. 300 IN PTR intranet.corp.test.`,
	} {
		record, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		records[record.Header().Name] = append(records[record.Header().Name], record)
	}
	for range 100 {
		record, _ := dns.NewRR(`large.corp.test. 300 IN TXT "` + strings.Repeat("x", 100) + `"`)
		records["large.corp.test."] = append(records["large.corp.test."], record)
	}
	soa := records["corp.test."][0]
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		reply.RecursionAvailable = true
		all, exists := records[strings.ToLower(query.Question[0].Name)]
		for _, record := range all {
			if record.Header().Rrtype == query.Question[0].Qtype {
				reply.Answer = append(reply.Answer, record)
			}
		}
		if len(reply.Answer) == 0 {
			reply.Ns = []dns.RR{soa}
		}
		if !exists {
			reply.Rcode = dns.RcodeNameError
		}
		if option := query.IsEdns0(); option != nil {
			reply.SetEdns0(1232, option.Do())
		}
		if w.RemoteAddr().Network() == "udp" {
			reply.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(reply)
	}
}

// answering returns a handler that gives every query the same code and counts them.
func answering(code int, count *atomic.Int32) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		count.Add(1)
		_ = w.WriteMsg(new(dns.Msg).SetRcode(query, code))
	}
}

// listen listens at the same port for UDP and TCP. Other tests' connections use many
// ports, so it tries several.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	var last error
	for range 100 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		last = errors.Join(err, packets.Close())
	}
	t.Fatal(last)
	return nil, nil
}

// serve runs a DNS server over UDP and TCP and returns its address.
func serve(t testing.TB, handler dns.Handler) string {
	t.Helper()
	packets, listener := listen(t)
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		started, ended := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			_ = server.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			_ = server.Shutdown()
			<-ended
		})
	}
	return packets.LocalAddr().String()
}

// world is the host of the tests: its files, and servers by the address that its
// resolv.conf has. An address without a server never answers; "down" is refused.
type world struct {
	resolvConf, hosts string
	servers           map[string]string
	asked             atomic.Int32
}

const down = "down"

func newWorld(t testing.TB, servers map[string]string, resolvConf, hosts string) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{resolvConf: filepath.Join(dir, "resolv.conf"), hosts: filepath.Join(dir, "hosts"), servers: servers}
	write(t, w.resolvConf, resolvConf)
	write(t, w.hosts, hosts)
	return w
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.asked.Add(1)
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != "53" {
		return nil, errors.New("dialed " + address)
	}
	switch to := w.servers[host]; to {
	case down:
		return nil, errors.New("connection refused")
	case "":
		silent, _ := net.Pipe()
		return silent, nil
	default:
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
}

func (w *world) resolver() *Resolver {
	r := New(Config{Machines: machines, ResolvConf: w.resolvConf, Hosts: w.hosts, Dial: w.dial})
	r.servers = &follower[nameservers]{path: w.resolvConf, parse: parseResolvConf} // on macOS, too
	return r
}

// run serves until the test ends and returns the address.
func run(t testing.TB, r *Resolver) string {
	t.Helper()
	packets, listener := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, packets, listener) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve = %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Serve does not return after its context ended")
		}
	})
	return packets.LocalAddr().String()
}

// question returns a query with recursion desired.
func question(name string, kind uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
}

func ask(t testing.TB, network, address string, query *dns.Msg) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network, Timeout: 6 * time.Second}
	reply, _, err := client.Exchange(query, address)
	if err != nil {
		t.Fatalf("%v over %s: %v", query.Question, network, err)
	}
	return reply
}
