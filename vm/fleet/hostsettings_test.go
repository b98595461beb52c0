package fleet

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

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
	settings := &hostSettings{core: f.core, renewals: f.renewals}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- settings.run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	first := f.state.members()[0]
	document, err := f.documents.node(first, time.Now())
	if err != nil || !slices.Equal(document.Host.Search, []string{"before.test"}) {
		t.Fatalf("document: %v, %v", document.Host, err)
	}
	time.Sleep(100 * time.Millisecond) // run has seen the file
	change("search vpn.test before.test\n")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		n.mu.Lock()
		got, seeds := n.host.Search, n.seeds
		n.mu.Unlock()
		if slices.Equal(got, []string{"vpn.test", "before.test"}) && seeds == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node has %v after %d new documents", got, seeds)
		}
	}
}
