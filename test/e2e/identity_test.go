package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/authtest"
)

const authorization = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: hook
  webhook:
    timeout: 3s
    authorizedTTL: 30s
    unauthorizedTTL: 30s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: NoOpinion
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: webhook.kubeconfig}
- {type: Node, name: node}
- {type: RBAC, name: rbac}
`

// testIdentity lets an OpenID Connect issuer and an authorization webhook on the host
// serve a running cluster. A webhook that would stop the cluster does not stay.
func testIdentity(t *testing.T, r *rig, name string) {
	const host = "host.skiff.internal"
	issuer := authtest.NewIssuer(t)
	issuerPort, issuerAuthority := authtest.Serve(t, host, issuer)
	issuer.URL = fmt.Sprintf("https://%s:%d", host, issuerPort)
	var broken atomic.Bool
	hookPort, hookAuthority := authtest.Serve(t, host, authtest.Webhook(func(a authtest.Review) authtest.Decision {
		switch {
		case broken.Load() && slices.Contains(a.Groups, "system:nodes"):
			return authtest.Decision{Denied: true, Reason: "closed today"}
		case a.User == "oidc:jane@example.com" && a.Attributes.Resource == "configmaps":
			return authtest.Decision{Allowed: true}
		}
		return authtest.Decision{}
	}))
	dir := filesIn(t, map[string]string{
		"skiff.yaml": fmt.Sprintf("controlPlanes: 1\nworkers: 1\nhostPorts: [%d, %d]\nkubernetes: {apiServer: {authenticationConfig: authentication.json, authorizationConfig: authorization.yaml}}\n", issuerPort, hookPort),
		"authentication.json": fmt.Sprintf(`{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [{
			"issuer": {"url": %q, "audiences": ["kubectl"], "certificateAuthority": %q},
			"claimMappings": {"username": {"claim": "email", "prefix": "oidc:"}}}]}`, issuer.URL, issuerAuthority),
		"authorization.yaml": authorization,
		"webhook.kubeconfig": authtest.Kubeconfig(fmt.Sprintf("https://%s:%d", host, hookPort), "ca.crt"),
		"ca.crt":             string(hookAuthority),
	})
	file := filepath.Join(dir, "skiff.yaml")
	before := r.skiff(t, "up", name, "-f", file, "--dry-run")

	broken.Store(true)
	a := r.trySkiff(t, "up", name, "-f", file)
	equal(t, "exit code with a webhook that denies kubelets everything", a.code, 1)
	contains(t, "what it denies", a.stderr, "system:node:control-plane-1 may not update leases: closed today", "the previous ones were restored")
	equal(t, "plan after that", r.skiff(t, "up", name, "-f", file, "--dry-run"), before)
	broken.Store(false)
	r.skiff(t, "up", name, "-f", file)

	users := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(users, []byte(r.skiff(t, "kubeconfig", name)), 0o600); err != nil {
		t.Fatal(err)
	}
	jane := func(args ...string) commandResult {
		return (&kube{rig: r}).try(t, append([]string{"--kubeconfig", users, "--user", "jane"}, args...)...)
	}
	token := issuer.Token(t, map[string]any{
		"iss": issuer.URL, "aud": "kubectl", "sub": "1", "email": "jane@example.com", "exp": time.Now().Add(time.Hour).Unix(),
	})
	if a := jane("config", "set-credentials", "jane", "--token", token); a.code != 0 {
		t.Fatal(a.stderr)
	}
	eventually(t, time.Minute, "login with a token of the issuer", func() error {
		if who := jane("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"); who.stdout != "oidc:jane@example.com" {
			return fmt.Errorf("%s%s", who.stdout, who.stderr)
		}
		return nil
	})
	contains(t, "what the webhook allows", jane("get", "configmaps", "-n", "default").stdout, "kube-root-ca.crt")
	contains(t, "what nobody allows", jane("get", "pods", "-n", "default").stderr, "Forbidden", "oidc:jane@example.com")
}
