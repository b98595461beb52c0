//go:build tools

// Package tools pins the clients that the end-to-end tests drive, in a module
// of its own: kubectl and Helm must never pull a library of Skiff's along.
package tools

import (
	_ "helm.sh/helm/v3/cmd/helm"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
