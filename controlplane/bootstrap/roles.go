package bootstrap

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/internal/names"
)

func read() []string { return []string{"get", "list", "watch"} }

func rule(group string, verbs []string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}

func named(r rbacv1.PolicyRule, resources ...string) rbacv1.PolicyRule {
	r.ResourceNames = resources
	return r
}

// groupBindings give groups roles that upstream defines.
func groupBindings() []Object {
	bind := func(name, group, role string) Object {
		return clusterBinding(name, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}, role)
	}
	const approve = "system:certificates.k8s.io:certificatesigningrequests:"
	return []Object{
		bind(names.GroupClusterAdmins, names.GroupClusterAdmins, "cluster-admin"),
		bind(names.GroupKubeletClients, names.GroupKubeletClients, "system:kubelet-api-admin"),
		bind("skiff:node-bootstrappers", names.GroupBootstrappers, "system:node-bootstrapper"),
		bind("skiff:approve-node-client", names.GroupBootstrappers, approve+"nodeclient"),
		bind("skiff:approve-node-client-renewal", names.GroupNodes, approve+"selfnodeclient"),
	}
}

// userRoles give each of our users what it does, and no more.
func userRoles() []Object {
	roles := map[string][]rbacv1.PolicyRule{
		names.UserNetwork: {
			rule("", read(), "nodes", "pods", "namespaces", "services"),
			rule("networking.k8s.io", read(), "networkpolicies"),
			rule("discovery.k8s.io", read(), "endpointslices"),
		},
		names.UserDNS: {
			rule("", read(), "services", "namespaces", "pods", "nodes"),
			rule("discovery.k8s.io", read(), "endpointslices"),
		},
		names.UserVolumes: {
			rule("", []string{"get", "list", "watch", "update", "patch"}, "persistentvolumes"),
			rule("", []string{"create", "patch"}, "events"),
		},
		names.UserLeader: {
			named(rule("", []string{"get"}, "namespaces"), metav1.NamespaceSystem),
		},
		names.UserApprover: {
			rule("", read(), "nodes"),
			rule("certificates.k8s.io", read(), "certificatesigningrequests"),
			rule("certificates.k8s.io", []string{"update"}, "certificatesigningrequests/approval"),
			named(rule("certificates.k8s.io", []string{"approve"}, "signers"), "kubernetes.io/kubelet-serving"),
		},
		names.UserLabeller: {
			rule("", []string{"get", "list", "watch", "patch"}, "nodes"),
		},
		names.UserProvisioner: {
			rule("", []string{"get", "list", "watch", "create", "delete", "update", "patch"}, "persistentvolumes"),
			rule("", read(), "persistentvolumeclaims", "nodes"),
			rule("storage.k8s.io", read(), "storageclasses"),
			rule("", []string{"create", "update", "patch"}, "events"),
		},
	}
	var objects []Object
	for user, rules := range roles {
		objects = append(objects,
			clusterRole(user, rules...),
			clusterBinding(user, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}, user))
	}
	return append(objects, namespacedRoles()...)
}

// namespacedRoles are what our users may write in kube-system.
func namespacedRoles() []Object {
	leases := rule("coordination.k8s.io", []string{"get", "update"}, "leases")
	return append(
		kubeSystemRole(names.UserDNS, rule("discovery.k8s.io", []string{"create", "get", "update", "patch", "delete"}, "endpointslices")),
		kubeSystemRole(names.UserLeader, named(leases, names.ControlPlaneLease), rule("coordination.k8s.io", []string{"create"}, "leases"))...,
	)
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) Object {
	return Object{Resource: rbacResource("clusterroles"), Object: &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: meta(name, ""),
		Rules:      rules,
	}}
}

func clusterBinding(name string, subject rbacv1.Subject, role string) Object {
	return Object{Resource: rbacResource("clusterrolebindings"), Object: &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: meta(name, ""),
		Subjects:   []rbacv1.Subject{subject},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	}}
}

func kubeSystemRole(user string, rules ...rbacv1.PolicyRule) []Object {
	return []Object{
		{Resource: rbacResource("roles"), Object: &rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
			ObjectMeta: meta(user, metav1.NamespaceSystem),
			Rules:      rules,
		}},
		{Resource: rbacResource("rolebindings"), Object: &rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: meta(user, metav1.NamespaceSystem),
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		}},
	}
}
