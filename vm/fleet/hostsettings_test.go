package fleet

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/network/resolver"
)

func TestRunningNodesFollowTheHostsSearchDomains(t *testing.T) {
	f, n := openAt(t, time.Now())
	path := filepath.Join(t.TempDir(), "resolv.conf")
	change := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	change("search before.test\n")
	f.documents.search = resolver.NewSearch(path)
	settings := newHostSettings(f.core, f.renewals)
	runtest.Start(t, settings.run)
	first := f.state.members()[0]
	document, err := f.documents.node(first, time.Now())
	if err != nil || !slices.Equal(document.Host.Search, []string{"before.test"}) {
		t.Fatalf("document: %v, %v", document.Host, err)
	}
	// The first change may come before run has seen what was there.
	for i := range 10 {
		change(fmt.Sprintf("search vpn%d.test before.test\n", i))
		for until := time.Now().Add(2 * hostPeriod); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
			n.mu.Lock()
			got, seeds := n.host.Search, n.seeds
			n.mu.Unlock()
			if len(got) == 2 && got[0] == fmt.Sprintf("vpn%d.test", i) && seeds > 0 {
				return
			}
		}
	}
	t.Error("the node does not follow")
}

func TestRunningNodesFollowAProxyAtOnce(t *testing.T) {
	f, n := openAt(t, time.Now())
	settings := newHostSettings(f.core, f.renewals)
	f.state.state.Spec.Proxy = cluster.Proxy{HTTPS: "http://127.0.0.1:3128"}
	if !settings.follow(t.Context()) {
		t.Fatal("the node does not follow")
	}
	n.mu.Lock()
	got, seeds := n.host.Proxy, n.seeds
	n.mu.Unlock()
	if got.HTTPS != "http://192.168.104.4:3128" || seeds != 1 {
		t.Errorf("the node has %+v after %d new documents", got, seeds)
	}
	if !settings.follow(t.Context()) || n.seeds != 1 {
		t.Error("the node was told again")
	}
}

func TestAChangeThatIsTakenBackReachesNodesThatMayHaveIt(t *testing.T) {
	f, n := openAt(t, time.Now())
	settings := newHostSettings(f.core, f.renewals)
	before := f.state.state.Spec
	f.state.state.Spec.Proxy = cluster.Proxy{HTTPS: "http://127.0.0.1:3128"}
	f.state.state.Spec.APIServerSANs = []string{"api.example.com"}
	n.silent = true
	if settings.follow(t.Context()) {
		t.Fatal("a node whose answer was lost follows")
	}
	f.state.state.Spec = before
	n.silent = false
	if !settings.follow(t.Context()) {
		t.Fatal("the node does not follow")
	}
	if got := n.host.Proxy; got.HTTPS != "" {
		t.Errorf("the node still has %+v", got)
	}
	block, _ := pem.Decode(n.held()["apiserver.crt"])
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if certificate.VerifyHostname("api.example.com") == nil {
		t.Error("its certificate still has the name")
	}
}

func TestRunningControlPlanesGetACertificateWithNewNames(t *testing.T) {
	f, n := openAt(t, time.Now())
	settings := newHostSettings(f.core, f.renewals)
	before := n.held()
	f.state.state.Spec.APIServerSANs = []string{"api.example.com", "192.0.2.1"}
	if !settings.follow(t.Context()) {
		t.Fatal("the node does not follow")
	}
	after := n.held()
	block, _ := pem.Decode(after["apiserver.crt"])
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(certificate.VerifyHostname("api.example.com"), certificate.VerifyHostname("192.0.2.1"), certificate.VerifyHostname("kubernetes.default.svc")); err != nil {
		t.Error(err)
	}
	for path := range before {
		if changed := !bytes.Equal(before[path], after[path]); changed != strings.HasPrefix(path, "apiserver.") {
			t.Errorf("%s: changed %v", path, changed)
		}
	}
}
