package applyset

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// Kinds that other objects depend on.
var (
	namespaceKind  = schema.GroupKind{Kind: "Namespace"}
	definitionKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
	jobKind        = schema.GroupKind{Group: "batch", Kind: "Job"}
)

// ranks order the kinds of Kubernetes: objects of a lower rank are applied first and
// deleted last. Custom resources come after all of them, because they need what serves
// them.
var ranks = []([]string){
	{"Namespace"},
	{"CustomResourceDefinition"},
	{"PriorityClass", "RuntimeClass", "StorageClass", "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding", "ResourceQuota", "LimitRange", "NetworkPolicy"},
	{"Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim"},
	{"Service", "PodDisruptionBudget"},
	nil, // what is not listed
	{"Job"},
	{"APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"},
}

const (
	rankDefinition = 1
	rankOther      = 5
	rankCustom     = 8
)

// rank returns the place of a kind in the order.
func rank(kind schema.GroupKind) int {
	builtin := kind == definitionKind || kind.Group == "apiregistration.k8s.io" || scheme.Scheme.IsGroupRegistered(kind.Group)
	if !builtin {
		return rankCustom
	}
	if i := slices.IndexFunc(ranks, func(kinds []string) bool { return slices.Contains(kinds, kind.Kind) }); i >= 0 {
		return i
	}
	return rankOther
}

// ordered returns the objects in the order in which they are applied.
func ordered(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	all := slices.Clone(objects)
	slices.SortStableFunc(all, func(a, b *unstructured.Unstructured) int {
		return rank(a.GroupVersionKind().GroupKind()) - rank(b.GroupVersionKind().GroupKind())
	})
	return all
}

// Name returns an object for users: "deployment.apps shop/web".
func Name(o *unstructured.Unstructured) string {
	kind := strings.ToLower(o.GetKind())
	if group := o.GroupVersionKind().Group; group != "" {
		kind += "." + group
	}
	if o.GetNamespace() != "" {
		return kind + " " + o.GetNamespace() + "/" + o.GetName()
	}
	return kind + " " + o.GetName()
}
