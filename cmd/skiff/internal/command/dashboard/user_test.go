package dashboard

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// write writes a kubeconfig whose contexts are named after their users; each has the
// cluster of the given authority.
func write(t *testing.T, current string, authorities map[string]string) []byte {
	t.Helper()
	file := clientcmdapi.NewConfig()
	for name, authority := range authorities {
		file.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + name + ".example:6443", CertificateAuthorityData: []byte(authority)}
		file.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: "token of " + name}
		file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	}
	file.CurrentContext = current
	content, err := clientcmd.Write(*file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestTheDashboardActsAsTheContextsUser(t *testing.T) {
	admin := write(t, "admin", map[string]string{"admin": "ours"})
	contexts := map[string]string{"jane": "ours\n", "elsewhere": "theirs"}
	for _, c := range []struct {
		name, current string
		user          user
		want          string // the token, or a part of the error
	}{
		{"the current context belongs to the cluster", "jane", user{}, "token of jane"},
		{"the current context belongs to another cluster", "elsewhere", user{}, "token of admin"},
		{"no current context", "", user{}, "token of admin"},
		{"the current context does not exist", "gone", user{}, "token of admin"},
		{"a context", "elsewhere", user{context: "jane"}, "token of jane"},
		{"a context of another cluster", "jane", user{context: "elsewhere"}, "does not belong to cluster"},
		{"a context that does not exist", "jane", user{context: "gone"}, "no context named"},
		{"another user", "jane", user{as: "kim", groups: []string{"dev", "ops"}}, "token of admin"},
	} {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, write(t, c.current, contexts), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("KUBECONFIG", path)
		content, err := c.user.kubeconfig("first", admin)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		config, err := clientcmd.RESTConfigFromKubeConfig(content)
		if err != nil {
			t.Fatal(err)
		}
		if config.BearerToken != c.want || config.Host != "https://admin.example:6443" || string(config.CAData) != "ours" {
			t.Errorf("%s: %q at %s, want %q", c.name, config.BearerToken, config.Host, c.want)
		}
		if config.Impersonate.UserName != c.user.as || !slices.Equal(config.Impersonate.Groups, c.user.groups) {
			t.Errorf("%s: impersonates %+v", c.name, config.Impersonate)
		}
	}
}

func TestCredentialsInFilesAreSentAsData(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"ca.crt": "ours", "jane.crt": "certificate", "jane.key": "key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := "apiVersion: v1\nkind: Config\ncurrent-context: jane\ncontexts: [{name: jane, context: {cluster: c, user: jane}}]\n" +
		"clusters: [{name: c, cluster: {server: 'https://x', certificate-authority: ca.crt}}]\nusers: [{name: jane, user: {client-certificate: jane.crt, client-key: jane.key}}]\n"
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
	content, err := user{}.kubeconfig("first", write(t, "admin", map[string]string{"admin": "ours"}))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := clientcmd.Load(content)
	if err != nil {
		t.Fatal(err)
	}
	if who := sent.AuthInfos["admin"]; string(who.ClientCertificateData) != "certificate" || string(who.ClientKeyData) != "key" || who.ClientCertificate != "" || who.Token != "" {
		t.Errorf("sent %+v", who)
	}
}

func TestTheHostInLinksCannotBeGuessed(t *testing.T) {
	one, two := host("linux", "first"), host("linux", "first")
	if one == two || !strings.HasPrefix(one, "first-") || !strings.HasSuffix(one, ".localhost") {
		t.Errorf("%s and %s", one, two)
	}
	if long := host("linux", strings.Repeat("x", 40)); strings.Index(long, ".") > 63 {
		t.Errorf("%s is not a valid name", long)
	}
	if other := host("darwin", "first"); other != "" {
		t.Errorf("on macOS: %q", other)
	}
}
