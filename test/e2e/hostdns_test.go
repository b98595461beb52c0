package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// authority answers DNS queries on an address of the host's loopback, over UDP and
// TCP, until the test ends or stop is called.
func authority(t *testing.T, address string, records ...string) (stop func()) {
	t.Helper()
	zone := map[string][]dns.RR{}
	for _, text := range records {
		record, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		zone[record.Header().Name] = append(zone[record.Header().Name], record)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		all, exists := zone[strings.ToLower(query.Question[0].Name)]
		for _, record := range all {
			if record.Header().Rrtype == query.Question[0].Qtype {
				reply.Answer = append(reply.Answer, record)
			}
		}
		if !exists {
			reply.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(reply)
	})
	packets, err := net.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	servers := []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}}
	for _, server := range servers {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
	}
	stop = func() {
		for _, server := range servers {
			_ = server.Shutdown()
		}
	}
	t.Cleanup(stop)
	return stop
}

// followLimit is how long pods may wait for a change of the host.
const followLimit = 15 * time.Second

// testHostDNS gives a daemon its own resolv.conf and hosts file, and checks that pods
// resolve names as that host does.
func testHostDNS(t *testing.T, r *rig) {
	const name = "names"
	stop := authority(t, "127.0.0.77:53",
		"corp.test. 300 IN SOA ns.corp.test. hostmaster.corp.test. 1 1200 120 1209600 30",
		"here.corp.test. 300 IN A 127.0.0.1",
		"six.corp.test. 300 IN AAAA 2001:db8::6",
		`_acme-challenge.corp.test. 300 IN TXT "token"`,
		"_db._tcp.corp.test. 300 IN SRV 0 0 5432 here.corp.test.",
		"20.2.0.192.in-addr.arpa. 300 IN PTR intranet.corp.test.")
	authority(t, "127.0.0.78:53", "secret.vpn.test. 300 IN A 192.0.2.99")
	dir := t.TempDir()
	resolvConf, hosts := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "hosts")
	write := func(path, content string) { // in place, because the files are bind-mounted
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(resolvConf, "nameserver 127.0.0.77\nsearch corp.test\noptions timeout:1\n")
	write(hosts, "127.0.0.1 localhost\n192.0.2.30 shop.localdev.test\n")
	t.Cleanup(func() { r.discard(t, name) })
	r.upOnHost(t, name, `mount --bind "$1" /etc/resolv.conf; mount --bind "$2" /etc/hosts; shift 2`, resolvConf, hosts)
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name}
	k.discover(t)
	k = k.in(t)
	k.startInside(t, "inside")
	k.resolvesAsTheHost(t)

	// A VPN comes up.
	write(resolvConf, "nameserver 127.0.0.78\nsearch vpn.test corp.test\n")
	k.resolves(t, followLimit, "names of the new server", "a", "secret.vpn.test", "192.0.2.99")
	eventually(t, 20*time.Second, "search domains of new pods", func() error {
		out := r.skiff(t, "shell", "--cluster", name, "control-plane-1", "--", "cat", "/etc/resolv.conf")
		if !strings.Contains(out, "search vpn.test corp.test\n") {
			return fmt.Errorf("resolv.conf of the node:\n%s", out)
		}
		return nil
	})
	k.startInside(t, "later")
	contains(t, "resolv.conf of a new pod", k.sh(t, "later", "cat /etc/resolv.conf"), "vpn.test corp.test")
	write(resolvConf, "nameserver 127.0.0.77\nsearch corp.test\n")
	k.resolves(t, followLimit, "names of the old server", "soa", "corp.test", "hostmaster")
	stop()
	k.resolves(t, followLimit, "a server that is down", "a", "other.corp.test", "SERVFAIL")
}

// lookup returns what nslookup prints in the pod "inside".
func (k *kube) lookup(t *testing.T, kind, name string) string {
	t.Helper()
	a := k.try(t, "exec", "inside", "--", "nslookup", "-type="+kind, name)
	return a.stdout + a.stderr
}

// resolves waits until a lookup prints a text.
func (k *kube) resolves(t *testing.T, limit time.Duration, what, kind, name, want string) {
	t.Helper()
	eventually(t, limit, what, func() error {
		if out := k.lookup(t, kind, name); !strings.Contains(out, want) {
			return fmt.Errorf("no %q in %s", want, out)
		}
		return nil
	})
}

// resolvesAsTheHost looks up names of the host and of the cluster.
func (k *kube) resolvesAsTheHost(t *testing.T) {
	t.Helper()
	for _, c := range [][3]string{
		{"soa", "corp.test", "hostmaster.corp.test"},
		{"aaaa", "six.corp.test", "2001:db8::6"},
		{"txt", "_acme-challenge.corp.test", "token"},
		{"srv", "_db._tcp.corp.test", "5432"},
		{"ptr", "20.2.0.192.in-addr.arpa", "intranet.corp.test"},
		{"a", "none.corp.test", "NXDOMAIN"},
		{"a", "shop.localdev.test", "192.0.2.30"},
		{"ptr", "30.2.0.192.in-addr.arpa", "shop.localdev.test"},
		// The cluster's own zone.
		{"soa", "cluster.local", "ns.dns.cluster.local"},
		{"ptr", "1.0.96.10.in-addr.arpa", "kubernetes.default.svc.cluster.local"},
		{"a", "none.default.svc.cluster.local", "NXDOMAIN"},
	} {
		contains(t, c[0]+" "+c[1], k.lookup(t, c[0], c[1]), c[2])
	}
	// Names without a record of the type exist, so a resolver must not give up on them.
	for _, name := range []string{"six.corp.test", "kubernetes.default.svc.cluster.local"} {
		if out := k.lookup(t, "mx", name); strings.Contains(out, "can't find") {
			t.Errorf("mx %s: %s", name, out)
		}
	}
	// By the host's search domain.
	equal(t, "answer of the pod itself", k.kubectl(t, "exec", "inside", "--", "workload", "get", "http://here:8080/hostname"), "inside\n")
}

// upOnHost creates a cluster of one node from a mount namespace of its own, in which a
// shell line has changed the host. Arguments that the line leaves follow the
// command.
func (r *rig) upOnHost(t *testing.T, name, line string, args ...string) {
	t.Helper()
	command := append([]string{"--mount", "sh", "-ec", line + `; exec "$@"`, "sh"}, args...)
	command = append(command, filepath.Join(r.root, "bin/skiff"), "up", name, "--workers", "0", "--memory", "1536Mi")
	if a := r.run(t, "unshare", command...); a.code != 0 {
		r.dump(t, name)
		t.Fatalf("skiff up %s: exit code %d\n%s%s", name, a.code, a.stdout, a.stderr)
	}
}

// startInside runs a pod of the workload image until it is ready.
func (k *kube) startInside(t *testing.T, name string) {
	t.Helper()
	k.kubectl(t, "run", name, "--image=skiff.test/workload:1", "--restart=Never", "--overrides",
		`{"spec":{"terminationGracePeriodSeconds":1}}`)
	k.wait(t, "condition=Ready", "pod/"+name)
}
