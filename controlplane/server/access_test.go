package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func (c *cluster) strangers(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // a stranger has no CA
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/healthz": 200, "/version": 200,
		"/.well-known/openid-configuration": 403, "/openid/v1/jwks": 403,
		"/": 401, "/api": 401, "/metrics": 401, "/openapi/v2": 401, "/apis": 401,
		"/api/v1/secrets": 401, "/api/v1/namespaces/default/pods": 401, "/readyz/etcd": 401,
	} {
		for _, token := range []string{"", "wrong"} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, c.admin.Host+path, nil)
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if token != "" && response.StatusCode != 401 {
				t.Errorf("%s with a wrong token: %d", path, response.StatusCode)
			}
			if token == "" && response.StatusCode != want {
				t.Errorf("%s: %d, not %d", path, response.StatusCode, want)
			}
		}
	}
}

// healthChecks looks for the checks that upstream's end-to-end test "health handlers
// should contain necessary checks" looks for, and that of RBAC.
func (c *cluster) healthChecks(t *testing.T) {
	common := []string{
		"ping", "log", "etcd",
		"poststarthook/start-apiserver-admission-initializer", "poststarthook/generic-apiserver-start-informers",
		"poststarthook/start-apiextensions-informers", "poststarthook/start-apiextensions-controllers",
		"poststarthook/crd-informer-synced", "poststarthook/bootstrap-controller",
		"poststarthook/start-system-namespaces-controller", "poststarthook/start-service-ip-repair-controllers",
		"poststarthook/scheduling/bootstrap-system-priority-classes", "poststarthook/rbac/bootstrap-roles",
		"poststarthook/start-cluster-authentication-info-controller", "poststarthook/start-kube-aggregator-informers",
		"poststarthook/apiservice-registration-controller", "poststarthook/apiservice-status-local-available-controller",
		"poststarthook/apiservice-status-remote-available-controller", "poststarthook/kube-apiserver-autoregistration",
		"autoregister-completion", "poststarthook/apiservice-openapi-controller", "poststarthook/storage-readiness",
	}
	for path, checks := range map[string][]string{"/healthz": common, "/livez": common, "/readyz": append([]string{"informer-sync"}, common...)} {
		body, err := c.client.RESTClient().Get().AbsPath(path).Param("verbose", "1").DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, check := range checks {
			if !strings.Contains(string(body), "[+]"+check+" ok\n") {
				t.Errorf("%s does not list %s", path, check)
			}
		}
		if t.Failed() {
			t.Logf("%s:\n%s", path, body)
		}
	}
}

// issuerDiscovery lets anonymous clients read the issuer's documents, as users do
// who federate workload identities.
func (c *cluster) issuerDiscovery(t *testing.T) {
	const role = "system:service-account-issuer-discovery"
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "issuer-for-all"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}},
	}
	if _, err := c.client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	anonymous, err := kubernetes.NewForConfig(rest.AnonymousClientConfig(c.admin))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/openid/v1/jwks"} {
		c.eventually(t, "anonymous clients read "+path, func(ctx context.Context) error {
			_, err := anonymous.RESTClient().Get().AbsPath(path).DoRaw(ctx)
			return err
		})
	}
}

func (c *cluster) tls13(t *testing.T) {
	address := strings.TrimPrefix(c.admin.Host, "https://")
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) //nolint:gosec // to be refused
	if err == nil {
		_ = conn.Close()
		t.Fatal("TLS 1.2 is spoken")
	}
}

func (c *cluster) secrets(t *testing.T) {
	const clear = "a-very-clear-text"
	_, err := c.client.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "hidden"}, StringData: map[string]string{"k": clear},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.client.CoreV1().Secrets("default").Get(t.Context(), "hidden", metav1.GetOptions{}); err != nil || string(got.Data["k"]) != clear {
		t.Fatalf("%v, %v", got, err)
	}
	_ = filepath.WalkDir(filepath.Join(c.dir, "state"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), clear) {
			t.Errorf("%s has the secret in clear", path)
		}
		return err
	})
}

func (c *cluster) audit(t *testing.T) {
	path := filepath.Join(c.dir, "log", "audit.log")
	c.eventually(t, "who made the secret, and not the secret", func(context.Context) error {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(content), "a-very-clear-text") {
			t.Fatal("the audit log has a secret in it")
		}
		if !strings.Contains(string(content), `"name":"hidden"`) || !strings.Contains(string(content), "skiff-admin") {
			return fmt.Errorf("not in the log")
		}
		return nil
	})
}
