package cluster

import (
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/kubenames"
)

func TestAuthorizationKeepsWhatTheClusterNeeds(t *testing.T) {
	const (
		own     = `{"type": "Node", "name": "node"}, {"type": "RBAC", "name": "rbac"}`
		webhook = `{"type": "Webhook", "name": "hook", "webhook": {"timeout": "3s", "connectionInfo": {"type": "KubeConfigFile"}}}, `
	)
	names, err := kubenames.Read("")
	if err != nil {
		t.Fatal(err)
	}
	for authorizers, want := range map[string]string{
		own:           "",
		webhook + own: "",
		`{"type": "Webhook", "name": "other", "webhook": {"connectionInfo": {"type": "KubeConfigFile"}}}, ` + own: "authorizers[0]: webhook.connectionInfo.kubeConfigFile is missing",
		`{"type": "Webhook", "name": "hook", "webhook": {"connectionInfo": {"type": "InClusterConfig"}}}, ` + own: `authorizers[0]: webhook.connectionInfo.type is "InClusterConfig": use KubeConfigFile`,
		`{"type": "Webhook", "name": "hook"}, ` + own:                                                             `authorizers[0]: webhook.connectionInfo.type is "": use KubeConfigFile`,
		webhook + webhook + own:                                  `authorizers[1].name: there are several authorizers named "hook"`,
		`{"type": "AlwaysAllow", "name": "alwaysallow"}, ` + own: `authorizers[0]: type is "AlwaysAllow": use Webhook, Node or RBAC`,
		`{"type": "RBAC", "name": "rbac"}`:                       "authorizers: type Node is missing: the cluster needs it",
		`{"type": "Node", "name": "node"}`:                       "authorizers: type RBAC is missing: the cluster needs it",
		``:                                                       "type Node is missing",
		`null, "node", ` + own:                                   "authorizers[1] is \"node\": it must be an object",
		`{"type": "Webhook", "name": "hook", "webhok": {}}, ` + own: `unknown field "authorizers[0].webhok": did you mean "authorizers[0].webhook"?`,
	} {
		c := components(t, `{"apiServer": {"authorizationConfig": {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration", "authorizers": [`+authorizers+`]},
			"webhookKubeconfigs": {"hook": "the content of a file"}}}`)
		var got []string
		for _, fault := range validateKubernetes(c, names) {
			got = append(got, fault.Error())
		}
		if all := strings.Join(got, "; "); want == "" && all != "" || !strings.Contains(all, want) {
			t.Errorf("%s: %q, want %q", authorizers, all, want)
		}
	}
}
