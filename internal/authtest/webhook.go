package authtest

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Review is what a webhook is asked.
type Review struct {
	User       string   `json:"user"`
	Groups     []string `json:"groups"`
	Attributes struct {
		Verb      string `json:"verb"`
		Resource  string `json:"resource"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"resourceAttributes"`
}

// Decision is a webhook's answer. The zero Decision leaves it to other authorizers.
type Decision struct {
	Allowed bool   `json:"allowed"`
	Denied  bool   `json:"denied,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Webhook answers a SubjectAccessReview of authorization.k8s.io/v1 with what decide
// returns.
func Webhook(decide func(Review) Decision) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Spec Review }
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": decide(review.Spec),
		})
	})
}

// Kubeconfig returns the kubeconfig file of a webhook.
func Kubeconfig(url, authorityFile string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: webhook
contexts: [{name: webhook, context: {cluster: webhook, user: api-server}}]
clusters: [{name: webhook, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: api-server, user: {}}]
`, url, authorityFile)
}
