package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/internal/authtest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// TestUsersOfAnIssuerLogInAndAWebhookAuthorizesThem lets an issuer of OpenID Connect
// authenticate a user, and a webhook before Node and RBAC decide what users may do.
func TestUsersOfAnIssuerLogInAndAWebhookAuthorizesThem(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	port, authority := authtest.Serve(t, "localhost", issuer)
	issuer.URL = fmt.Sprintf("https://localhost:%d", port)
	api := nodeconfig.APIServer{AuthenticationConfig: map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
		"jwt": []any{map[string]any{
			"issuer":        map[string]any{"url": issuer.URL, "audiences": []any{"kubectl"}, "certificateAuthority": string(authority)},
			"claimMappings": map[string]any{"username": map[string]any{"claim": "email", "prefix": "oidc:"}, "groups": map[string]any{"claim": "groups", "prefix": "oidc:"}},
		}},
	}}
	c := start(t, t.TempDir())
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	webhook(t, &api)
	c.settings.Components = nodeconfig.Components{APIServer: api}
	c.run(t)
	c.awaitReady(t)

	claims := map[string]any{"iss": issuer.URL, "aud": "kubectl", "sub": "1", "email": "jane@example.com", "groups": []string{"developers"}, "exp": time.Now().Add(time.Hour).Unix()}
	jane := c.bearer(t, issuer.Token(t, claims))
	c.eventually(t, "the token of the issuer authenticates", func(ctx context.Context) error {
		self, err := jane.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil && (self.Status.UserInfo.Username != "oidc:jane@example.com" || !slices.Contains(self.Status.UserInfo.Groups, "oidc:developers")) {
			t.Errorf("the API server knows her as %+v", self.Status.UserInfo)
		}
		return err
	})
	if _, err := jane.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("what the webhook allows: %v", err)
	}
	if _, err := jane.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "secrets are private") {
		t.Errorf("what the webhook denies: %v", err)
	}
	if _, err := c.client.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("the administrator, whom the webhook denies as well: %v", err)
	}
	claims["aud"] = "somebody else"
	if _, err := c.bearer(t, issuer.Token(t, claims)).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a token for another audience: %v", err)
	}
	for content, want := range map[string]string{
		`{"type": "Webhook", "name": "hook", "webhook": {"timeout": "1h"}}`:   "authorizers[0]",
		`{"type": "Node", "name": "other"}, {"type": "RBAC", "name": "rbac"}`: "expected name node",
	} {
		broken := parse(t, `{"apiServer": {"authorizationConfig": {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration", "authorizers": [`+content+`]}}}`)
		if got := c.check(t, broken); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", content, got, want)
		}
	}
}

// webhook starts an authorization webhook and makes the API server ask it first. It
// allows reading config maps and denies everybody's access to secrets.
func webhook(t *testing.T, api *nodeconfig.APIServer) {
	t.Helper()
	port, authority := authtest.Serve(t, "localhost", authtest.Webhook(func(r authtest.Review) authtest.Decision {
		switch {
		case r.Attributes.Resource == "secrets" && r.Attributes.Namespace == "default":
			return authtest.Decision{Denied: true, Reason: "secrets are private"}
		case slices.Contains(r.Groups, "oidc:developers") && r.Attributes.Resource == "configmaps":
			return authtest.Decision{Allowed: true}
		}
		return authtest.Decision{}
	}))
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	const config = `{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration", "authorizers": [
		{"type": "Webhook", "name": "hook", "webhook": {"timeout": "3s", "authorizedTTL": "30s", "unauthorizedTTL": "30s",
			"subjectAccessReviewVersion": "v1", "matchConditionSubjectAccessReviewVersion": "v1", "failurePolicy": "NoOpinion",
			"connectionInfo": {"type": "KubeConfigFile"}}},
		{"type": "Node", "name": "node"}, {"type": "RBAC", "name": "rbac"}]}`
	if err := json.Unmarshal([]byte(config), &api.AuthorizationConfig); err != nil {
		t.Fatal(err)
	}
	api.WebhookKubeconfigs = map[string]string{"hook": authtest.Kubeconfig(fmt.Sprintf("https://localhost:%d", port), file)}
}

// bearer returns a client that authenticates with a token.
func (c *cluster) bearer(t *testing.T, token string) *kubernetes.Clientset {
	t.Helper()
	config := rest.AnonymousClientConfig(c.admin)
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}
