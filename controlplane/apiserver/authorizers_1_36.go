//go:build kubernetes_before_1_37

package apiserver

import (
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizerunion "k8s.io/apiserver/pkg/authorization/union"
)

// administratorFirst allows what administrator allows, and asks configured for the rest.
func administratorFirst(administrator, configured authorizer.Authorizer) (authorizer.Authorizer, error) {
	return authorizerunion.New(administrator, configured), nil
}
