package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/runtest"
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
