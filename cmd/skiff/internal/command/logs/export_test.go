package logs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestExportedStateHasNoPasswords(t *testing.T) {
	spec := cluster.Default()
	spec.Proxy = cluster.Proxy{HTTP: "http://user:secret@proxy.example:3128", HTTPS: "user:secret@proxy.example"}
	spec.Environment.Proxy = nodeconfig.Proxy{HTTP: "socks5://user:sec@secret@proxy.example", HTTPS: "http://plain.example:3128"}
	for _, indent := range []string{"", "  "} {
		state, err := json.MarshalIndent(cluster.State{Spec: spec}, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		got := string(withoutPasswords(state))
		if strings.Contains(got, "user") || strings.Contains(got, "secret") || strings.Count(got, "***@proxy.example") != 3 || !strings.Contains(got, "http://plain.example:3128") {
			t.Errorf("exported %s", got)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("not JSON: %s", got)
		}
	}
}
