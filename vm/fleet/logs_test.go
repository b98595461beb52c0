package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/records/logs/child"
)

func TestTheLogStoreFollowsTheSettingsOfTheCluster(t *testing.T) {
	f, _ := openAt(t, time.Now())
	ran := filepath.Join(t.TempDir(), "arguments")
	l := newLogs(f.core, []string{"sh", "-c", `echo "$@" >>"$0"; echo ` + child.Ready + `; cat`, ran})
	change := func(records cluster.Records) {
		t.Helper()
		if err := f.state.change(func(s *cluster.State) { s.Spec.Records = records }); err != nil {
			t.Fatal(err)
		}
		l.wake()
	}
	started := func(arguments string) func() bool {
		return func() bool {
			content, _ := os.ReadFile(ran)
			lines := strings.Split(strings.TrimSpace(string(content)), "\n")
			return strings.Contains(lines[len(lines)-1], arguments)
		}
	}
	listening := func() bool {
		_, err := os.Stat(f.dir.LogsSocket())
		return err == nil
	}
	runtest.Start(t, l.run)
	await(t, "the defaults", started("--age 24h0m0s --limit 209715200"))
	change(cluster.Records{Keep: "2d", LogsSize: "64Mi"})
	await(t, "other limits", started("--age 48h0m0s --limit 67108864"))
	change(cluster.Records{Disabled: true, Keep: "2d"})
	await(t, "disabled", func() bool { return !listening() })
	change(cluster.Records{Keep: "3d"})
	await(t, "enabled again", func() bool { return listening() && started("--age 72h0m0s")() })
}
