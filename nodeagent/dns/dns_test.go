package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	miekg "github.com/miekg/dns"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func document() nodeconfig.Node {
	return nodeconfig.Node{
		Name: "worker-1",
		Network: nodeconfig.Network{
			Address:     netip.MustParsePrefix("192.168.104.21/24"),
			Nameservers: []netip.Addr{netip.MustParseAddr("192.168.104.2")},
		},
		Kubernetes: nodeconfig.Kubernetes{DNSDomain: "cluster.local", DNSAddress: netip.MustParseAddr("10.96.0.10")},
	}
}

func TestCorefileForwardsOtherNamesToTheNodesNameServers(t *testing.T) {
	got := corefile(document(), client.Component("/pki", "dns"), custom{})
	want := `.:53 {
  bind 192.168.104.21
  count
  errors
  cluster cluster.local in-addr.arpa ip6.arpa {
    endpoint https://127.0.0.1:7443
    tls /pki/dns.crt /pki/dns.key /pki/ca.crt
    pods insecure
    ttl 5
    startup_timeout 30s
    fallthrough in-addr.arpa ip6.arpa
  }
  forward . 192.168.104.2 {
    max_concurrent 1000
    max_fails 0
    read_timeout 4.5s
  }
  cache 30 {
    denial 9984 5
    servfail 1s
    disable success cluster.local
    disable denial cluster.local
  }
  loadbalance
}
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestResolversExcludeThisServer(t *testing.T) {
	node := document()
	node.Network.Nameservers = []netip.Addr{
		netip.MustParseAddr("192.168.104.21"), netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("9.9.9.9"),
	}
	if got := resolvers(node); !slices.Equal(got, []string{"9.9.9.9"}) {
		t.Errorf("got %v", got)
	}
	node.Network.Nameservers = nil
	if got := corefile(node, client.Identity{}, custom{}); strings.Contains(got, "forward") {
		t.Errorf("forwards to nobody:\n%s", got)
	}
}

func TestCoreDNSAcceptsTheCorefile(t *testing.T) {
	if err := register(); err != nil {
		t.Fatal(err)
	}
	server, err := caddy.Start(local(t, custom{}, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(server)
	question := new(miekg.Msg).SetQuestion("1.0.0.127.in-addr.arpa.", miekg.TypePTR)
	answer, err := miekg.Exchange(question, server.Servers()[0].LocalAddr().String())
	if err != nil || answer.Id != question.Id {
		t.Errorf("answer %v, %v", answer, err)
	}
}

// local returns a configuration for this host: it listens on a port of 127.0.0.1, forwards
// to a name server there that does not exist, and waits for no API server.
func local(t *testing.T, own custom, port int) caddy.Input {
	t.Helper()
	node := document()
	node.Network.Address = netip.MustParsePrefix("127.0.0.1/8")
	node.Network.Nameservers = []netip.Addr{netip.MustParseAddr("127.0.0.99")}
	file := corefile(node, client.Identity{}, own)
	file = strings.Replace(file, ".:53 {", fmt.Sprintf(".:%d {", port), 1)
	file = strings.Replace(file, "    tls   \n", "", 1)
	file = strings.Replace(file, "https://127.0.0.1:7443", "http://"+refused(t), 1)
	file = strings.Replace(file, "startup_timeout 30s", "startup_timeout 1ms", 1)
	return caddy.CaddyfileInput{Filepath: "Corefile", Contents: []byte(file), ServerTypeName: "dns"}
}

// refused returns an address on which nothing listens.
func refused(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", runtest.FreePort(t))
}

func TestPublishCreatesAndCorrectsTheSlice(t *testing.T) {
	api := fake.NewSimpleClientset()
	ctx := t.Context()
	for _, ready := range []bool{true, false, true} {
		if err := publish(ctx, api, endpointSlice(document(), "uid", ready)); err != nil {
			t.Fatal(err)
		}
		got, err := api.DiscoveryV1().EndpointSlices("kube-system").Get(ctx, "kube-dns-worker-1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if *got.Endpoints[0].Conditions.Ready != ready {
			t.Errorf("ready is %v, want %v", *got.Endpoints[0].Conditions.Ready, ready)
		}
		if got.Labels["kubernetes.io/service-name"] != "kube-dns" || *got.Endpoints[0].NodeName != "worker-1" {
			t.Errorf("got %+v", got)
		}
	}
}

func TestPublishDoesNotWriteAnUnchangedSlice(t *testing.T) {
	api := fake.NewSimpleClientset()
	slice := endpointSlice(document(), "uid", true)
	if err := publish(t.Context(), api, slice); err != nil {
		t.Fatal(err)
	}
	api.ClearActions()
	if err := publish(t.Context(), api, slice); err != nil {
		t.Fatal(err)
	}
	for _, action := range api.Actions() {
		if action.GetVerb() != "get" {
			t.Errorf("did %s", action.GetVerb())
		}
	}
}

func TestPublishChangesTheOwnerToTheNewNodeObject(t *testing.T) {
	api := fake.NewSimpleClientset()
	for _, uid := range []types.UID{"old", "new"} {
		if err := publish(t.Context(), api, endpointSlice(document(), uid, true)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := api.DiscoveryV1().EndpointSlices("kube-system").Get(t.Context(), "kube-dns-worker-1", metav1.GetOptions{})
	if err != nil || got.OwnerReferences[0].UID != "new" {
		t.Errorf("owner %v, %v", got.OwnerReferences, err)
	}
}
