package logs

import (
	"bytes"
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
		got := string(withoutSecrets(state))
		if strings.Contains(got, "user") || strings.Contains(got, "secret") || strings.Count(got, "***@proxy.example") != 3 || !strings.Contains(got, "http://plain.example:3128") {
			t.Errorf("exported %s", got)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("not JSON: %s", got)
		}
	}
}

func TestExportedStateHasNoKubeconfigsOfWebhooks(t *testing.T) {
	api := nodeconfig.APIServer{WebhookKubeconfigs: map[string]string{
		"hook": "preferences: {}\nusers:\n- user: {token: \"secret\"}\n", "other": `clusters: [{name: "}"}] # secret`,
	}}
	components := nodeconfig.Components{APIServer: api}
	state, err := json.MarshalIndent(cluster.State{Spec: cluster.Spec{Name: "demo", Kubernetes: components}, Components: components, Trial: &components}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got := withoutSecrets(state)
	if bytes.Contains(got, []byte("secret")) || !bytes.Contains(got, []byte(`"name": "demo"`)) || bytes.Count(got, []byte("webhookKubeconfigs")) != 3 {
		t.Errorf("exported %s", got)
	}
	if !json.Valid(got) {
		t.Errorf("not JSON: %s", got)
	}
	if damaged := withoutSecrets(state[:bytes.Index(state, []byte("secret"))+len("secret")]); bytes.Contains(damaged, []byte("secret")) {
		t.Errorf("exported of a damaged state: %s", damaged)
	}
}
