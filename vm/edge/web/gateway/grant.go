package gateway

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The groups of objects. Core is that of Services and Secrets.
const (
	group = gatewayv1.GroupName
	core  = ""
)

// reference is a reference from an object of the Gateway API to one of the core group.
type reference struct {
	fromKind, fromNamespace string
	toKind                  string
	to                      types.NamespacedName
}

// permits reports whether a reference stays in its namespace, or a ReferenceGrant in
// the other namespace allows it.
func (b *builder) permits(r reference) bool {
	if r.fromNamespace == r.to.Namespace {
		return true
	}
	for _, g := range b.Grants {
		if g.Namespace != r.to.Namespace {
			continue
		}
		from := slices.ContainsFunc(g.Spec.From, func(f gatewayv1.ReferenceGrantFrom) bool {
			return f.Group == group && string(f.Kind) == r.fromKind && string(f.Namespace) == r.fromNamespace
		})
		to := slices.ContainsFunc(g.Spec.To, func(t gatewayv1.ReferenceGrantTo) bool {
			return t.Group == core && string(t.Kind) == r.toKind && (t.Name == nil || *t.Name == "" || string(*t.Name) == r.to.Name)
		})
		if from && to {
			return true
		}
	}
	return false
}
