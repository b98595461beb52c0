package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/vm/cluster"
)

const kubeconfig = `
apiVersion: v1
kind: Config
current-context: hook
contexts:
- {name: hook, context: {cluster: hook, user: hook}}
- {name: other, context: {cluster: other, user: other}}
clusters:
- {name: hook, cluster: {server: "https://host.skiff.internal:8443", certificate-authority: ca.crt}}
- {name: other, cluster: {server: "https://other.example"}}
users:
- {name: hook, user: {tokenFile: token}}
- {name: other, user: {token: of another server}}
`

// written writes files into a new directory.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readAuthorization(dir string) (cluster.Spec, error) {
	spec := cluster.Default()
	for _, s := range Table() {
		if s.Key == "kubernetes.apiServer.authorizationConfig" {
			return spec, s.put(&spec, filepath.Join(dir, "authorization.yaml"))
		}
	}
	return spec, os.ErrNotExist
}

const authorizationFile = `
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- {type: Webhook, name: hook, webhook: {connectionInfo: {type: KubeConfigFile, kubeConfigFile: kubeconfig}}}
- {type: Node, name: node}
`

func TestTheKubeconfigOfAWebhookBecomesPartOfTheSetting(t *testing.T) {
	dir := written(t, map[string]string{"authorization.yaml": authorizationFile, "kubeconfig": kubeconfig, "ca.crt": "authority", "token": "secret\n"})
	spec, err := readAuthorization(dir)
	if err != nil {
		t.Fatal(err)
	}
	api := spec.Kubernetes.APIServer
	flat, err := clientcmd.Load([]byte(api.WebhookKubeconfigs["hook"]))
	if err != nil || len(api.WebhookKubeconfigs) != 1 {
		t.Fatalf("%v, %v", api.WebhookKubeconfigs, err)
	}
	hook := flat.Clusters["hook"]
	if len(flat.Clusters) != 1 || len(flat.AuthInfos) != 1 || hook == nil || string(hook.CertificateAuthorityData) != "authority" || hook.CertificateAuthority != "" || flat.AuthInfos["hook"].Token != "secret" || flat.AuthInfos["hook"].TokenFile != "" {
		t.Errorf("%s", api.WebhookKubeconfigs["hook"])
	}
	first := api.AuthorizationConfig["authorizers"].([]any)[0].(map[string]any)
	if connection := first["webhook"].(map[string]any)["connectionInfo"].(map[string]any); len(connection) != 1 {
		t.Errorf("a path of the host is left: %v", connection)
	}
}

func TestKubeconfigsThatNodesCannotUseAreRefused(t *testing.T) {
	with := func(old, replacement string) string {
		content := strings.Replace(kubeconfig, old, replacement, 1)
		if content == kubeconfig {
			t.Fatalf("no %q", old)
		}
		return content
	}
	for want, content := range map[string]string{
		"ca.crt: no such file or directory":                with("tokenFile: token", "token: secret"),
		`server "https://localhost:8443" is not reachable`: with("host.skiff.internal", "localhost"),
		`server "https://127.0.0.1:8443" is not reachable`: with("host.skiff.internal", "127.0.0.1"),
		"it runs a program to authenticate":                with("tokenFile: token", "exec: {apiVersion: client.authentication.k8s.io/v1, command: login, interactiveMode: Never}"),
		"cannot locate context nobody":                     with("current-context: hook", "current-context: nobody"),
		"token: no such file or directory":                 with("certificate-authority: ca.crt", "insecure-skip-tls-verify: true"),
		"not a kubeconfig file":                            "kind: [",
	} {
		_, err := readAuthorization(written(t, map[string]string{"authorization.yaml": authorizationFile, "kubeconfig": content}))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `kubeConfigFile of authorizer "hook"`) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q, want %q", err, want)
		}
	}
}
