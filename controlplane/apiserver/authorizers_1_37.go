//go:build !kubernetes_before_1_37

package apiserver

import (
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizerunion "k8s.io/apiserver/pkg/authorization/union"
)

// administratorFirst allows what administrator allows, and asks configured for the rest.
// Since 1.37, authorizers have names, which appear in the reasons for a decision.
func administratorFirst(administrator, configured authorizer.Authorizer) (authorizer.Authorizer, error) {
	return authorizerunion.New(
		authorizerunion.NamedAuthorizer{AuthorizerName: "administrator", Authorizer: administrator},
		authorizerunion.NamedAuthorizer{AuthorizerName: "configured", Authorizer: configured},
	)
}
