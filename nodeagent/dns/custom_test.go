package dns

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
	miekg "github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/internal/runtest"
)

const shop = `# a shop
localdev.test:53 other.test {
  hosts {
    192.0.2.10 shop.localdev.test
    fallthrough
  }
  errors
}
`

func TestServersOfTheUserListenOnTheNodesAddressOnly(t *testing.T) {
	own, err := parseCustom(map[string]string{"shop.server": shop, "more.override": "rewrite name exact a.test \"b test\""}, document())
	if err != nil {
		t.Fatal(err)
	}
	wantServers := `localdev.test:53 other.test {
  bind 192.168.104.21
  count
  errors
  hosts {
  192.0.2.10 shop.localdev.test
  fallthrough
  }
}
`
	if own.servers != wantServers {
		t.Errorf("servers:\n%s", own.servers)
	}
	if want := "  rewrite name exact a.test \"b test\"\n"; own.lines != want {
		t.Errorf("lines %q, want %q", own.lines, want)
	}
}

func TestBadConfigurationOfTheUserIsRefusedWithTheReason(t *testing.T) {
	for name, tt := range map[string]struct{ key, text, want string }{
		"no suffix":           {"Corefile", ". { errors }", "end with .server or .override"},
		"unknown directive":   {"a.server", "a.test {\n  template IN A\n}", "the directives are errors, log"},
		"own address":         {"a.server", "a.test {\n  bind 0.0.0.0\n}", "bind"},
		"import":              {"a.server", "a.test {\n  import /etc/passwd\n}", "import is not supported"},
		"hosts file":          {"a.server", "a.test {\n  hosts etc/shadow\n}", "files are not supported"},
		"absolute path":       {"a.override", "forward a.test /run/names", "files are not supported"},
		"all names":           {"a.server", ". {\n  errors\n}", "contains the cluster's domain"},
		"the cluster's names": {"a.server", "cluster.LOCAL {\n  errors\n}", "contains the cluster's domain"},
		"its parent":          {"a.server", "local {\n  errors\n}", "contains the cluster's domain"},
		"another port":        {"a.server", "a.test:5353 {\n  errors\n}", "invalid zone"},
		"another protocol":    {"a.server", "tls://a.test {\n  errors\n}", "invalid zone"},
		"open block":          {"a.server", "a.test {\n  errors\n", "a.server"},
		"server as override":  {"a.override", "}\nb.test {\n  errors", "directives only"},
		"backslash":           {"a.override", `rewrite "a \\"`, "backslash"},
		"too large":           {"a.server", strings.Repeat("#", maxCustom+1), "larger than"},
	} {
		if own, err := parseCustom(map[string]string{tt.key: tt.text}, document()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q; servers %q, lines %q", name, err, tt.want, own.servers, own.lines)
		}
	}
}

func TestConfigurationOfTheUserAnswersAndABadOneChangesNothing(t *testing.T) {
	if err := register(); err != nil {
		t.Fatal(err)
	}
	port := int(runtest.FreePort(t)) // the same for UDP and TCP
	server, err := caddy.Start(local(t, custom{}, port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(server) }()
	address := server.Servers()[0].LocalAddr().String()
	answers := func(name string) string {
		t.Helper()
		reply, err := miekg.Exchange(new(miekg.Msg).SetQuestion(name, miekg.TypeA), address)
		if err != nil {
			t.Fatal(err)
		}
		if len(reply.Answer) == 0 {
			return ""
		}
		return reply.Answer[len(reply.Answer)-1].(*miekg.A).A.String()
	}
	node := document()
	own, err := parseCustom(map[string]string{"a.override": "hosts {\n192.0.2.10 shop.localdev.test\nfallthrough\n}\nrewrite name www.localdev.test shop.localdev.test"}, node)
	if err != nil {
		t.Fatal(err)
	}
	if server, err = server.Restart(local(t, own, port)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop.localdev.test.", "www.localdev.test."} {
		if got := answers(name); got != "192.0.2.10" {
			t.Errorf("%s: %q", name, got)
		}
	}
	bad, err := parseCustom(map[string]string{"a.override": "rewrite name\n"}, node)
	if err != nil {
		t.Fatal(err)
	}
	if server, err = server.Restart(local(t, bad, port)); err == nil {
		t.Error("a rewrite without arguments was accepted")
	}
	if got := answers("shop.localdev.test."); got != "192.0.2.10" {
		t.Errorf("after a bad configuration: %q", got)
	}
}

func TestConfigurationOfTheUserIsFollowed(t *testing.T) {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns-custom"}, Data: map[string]string{"a.server": "x"}}
	api := fake.NewClientset()
	changed := make(chan struct{}, 1)
	lister, err := DNS{API: api}.followCustom(t.Context(), changed)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := content(lister); err != nil || data != nil {
		t.Errorf("without it: %v, %v", data, err)
	}
	maps := api.CoreV1().ConfigMaps("kube-system")
	if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The fake API server forgets what changes between the list and the watch, which has
	// begun once a change of what was listed is noticed.
	for _, text := range []string{"x", "y"} {
		object.Data["a.server"] = text
		for noticed := false; !noticed; {
			if _, err := maps.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			select {
			case <-changed:
			case <-time.After(100 * time.Millisecond):
			}
			data, err := content(lister)
			if err != nil {
				t.Fatal(err)
			}
			noticed = data["a.server"] == text
		}
	}
	if err := maps.Delete(t.Context(), object.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for data, err := content(lister); data != nil; data, err = content(lister) {
		if err != nil {
			t.Fatal(err)
		}
		<-changed
	}
	if data, err := content(lister); err != nil || data != nil {
		t.Errorf("after its deletion: %v, %v", data, err)
	}
}

func TestUserIsToldInOneLineWhyTheConfigurationIsNotUsed(t *testing.T) {
	d := DNS{AlarmFile: filepath.Join(t.TempDir(), "alarms", "nodeagent-dns")}
	if err := d.tell(fmt.Errorf("a.server:\n  line 2")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(d.AlarmFile)
	if want := "Cluster DNS does not use the content of ConfigMap kube-system/coredns-custom: a.server: line 2.\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	for range 2 {
		if err := d.tell(nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(d.AlarmFile); err == nil {
		t.Error("the alarm is still there")
	}
}

// FuzzConfigurationOfTheUserStaysWithinItsBlocks checks that what is rendered parses
// to the same blocks, so that nothing escapes from them.
func FuzzConfigurationOfTheUserStaysWithinItsBlocks(f *testing.F) {
	f.Add("a.server", shop)
	f.Add("a.override", "rewrite name \"a b\" c {\n  x \\\"\n}")
	f.Fuzz(func(t *testing.T, key, text string) {
		own, err := parseCustom(map[string]string{key: text}, document())
		if err != nil {
			return
		}
		blocks, err := caddyfile.Parse("Corefile", strings.NewReader(". {\n"+own.lines+"}\n"+own.servers), directives)
		if err != nil {
			t.Fatalf("%v\n%s%s", err, own.lines, own.servers)
		}
		for i, block := range blocks {
			_, bound := block.Tokens["bind"]
			if (i > 0) != bound {
				t.Errorf("block %d %q: %v", i, block.Keys, block.Tokens)
			}
		}
	})
}
