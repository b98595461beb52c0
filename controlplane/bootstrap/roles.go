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

// named limits a rule to the objects with the given names.
func named(r rbacv1.PolicyRule, objects ...string) rbacv1.PolicyRule {
	r.ResourceNames = objects
	return r
}

func user(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

func group(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
}

// groupBindings bind groups to roles that upstream defines.
func groupBindings() []Object {
	return []Object{
		clusterBinding(names.GroupClusterAdmins, group(names.GroupClusterAdmins), "cluster-admin"),
		clusterBinding(names.GroupKubeletClients, group(names.GroupKubeletClients), "system:kubelet-api-admin"),
	}
}

// obsolete are rights of earlier releases, whose kubelets requested their certificates from
// the cluster. Those for client certificates let any node become any other.
func obsolete() []Object {
	const approver = "system:skiff:approver"
	objects := []Object{clusterRole(approver)}
	for _, name := range []string{approver, "skiff:node-bootstrappers", "skiff:approve-node-client", "skiff:approve-node-client-renewal"} {
		objects = append(objects, clusterBinding(name, rbacv1.Subject{}, ""))
	}
	for i := range objects {
		objects[i].Obsolete = true
	}
	return objects
}

// nodeRoles are the cluster-wide rights of the node agent's parts, by group.
// Package admission limits what they write to objects of their own node.
func nodeRoles() map[string][]rbacv1.PolicyRule {
	return map[string][]rbacv1.PolicyRule{
		names.GroupNetwork: {
			rule("", read(), "nodes", "pods", "namespaces", "services"),
			rule("networking.k8s.io", read(), "networkpolicies"),
			rule("discovery.k8s.io", read(), "endpointslices"),
		},
		names.GroupDNS: {
			rule("", read(), "services", "namespaces", "pods", "nodes"),
			rule("discovery.k8s.io", read(), "endpointslices"),
		},
		names.GroupVolumes: {
			rule("", []string{"get", "list", "watch", "update"}, "persistentvolumes"),
		},
	}
}

// controlPlaneRoles are the cluster-wide rights of the control plane's parts, by
// user.
func controlPlaneRoles() map[string][]rbacv1.PolicyRule {
	return map[string][]rbacv1.PolicyRule{
		names.UserLabeller: {
			rule("", []string{"get", "list", "watch", "patch"}, "nodes"),
		},
		// What upstream's cloud controllers need, and no more
		// (https://kubernetes.io/docs/tasks/administer-cluster/running-cloud-controller/).
		names.UserCloudController: {
			rule("", []string{"get", "list", "watch", "update", "patch", "delete"}, "nodes"),
			rule("", []string{"patch"}, "nodes/status", "services/status"),
			rule("", read(), "services"),
			rule("", []string{"create", "update", "patch"}, "events"),
		},
		names.UserProvisioner: {
			rule("", []string{"get", "list", "watch", "create", "delete", "update", "patch"}, "persistentvolumes"),
			rule("", read(), "persistentvolumeclaims", "nodes"),
			rule("", []string{"patch"}, "persistentvolumeclaims/status"),
			rule("storage.k8s.io", read(), "storageclasses"),
			rule("", []string{"create", "update", "patch"}, "events"),
		},
		// What kwok's default stages need.
		names.UserSimulator: {
			rule("", read(), "nodes"),
			rule("", []string{"patch"}, "nodes/status", "pods/status"),
			rule("", []string{"get", "list", "watch", "delete", "patch"}, "pods"),
			rule("coordination.k8s.io", []string{"get", "list", "watch", "create", "update"}, "leases"),
			rule("", []string{"create", "update", "patch"}, "events"),
		},
	}
}

// hostRoles are the cluster-wide rights of the host's parts, by user.
func hostRoles() map[string][]rbacv1.PolicyRule {
	return map[string][]rbacv1.PolicyRule{
		names.UserIngress: {
			rule("networking.k8s.io", []string{"patch"}, "ingresses/status"),
			rule("gateway.networking.k8s.io", []string{"patch"},
				"gatewayclasses/status", "gateways/status", "httproutes/status", "grpcroutes/status", "tlsroutes/status"),
		},
		names.UserLogs: {
			rule("", read(), "pods", "events"),
		},
		names.UserMetrics: {
			rule("", read(), "pods"),
			rule("monitoring.coreos.com", read(), "servicemonitors", "podmonitors"),
			rule("", []string{"get"}, "nodes/metrics"), // of kubelets
			{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}},
		},
	}
}

// leaderRoles are what a control plane needs to become the leader.
func leaderRoles() []Object {
	const name = names.UserLeader
	leases := rule("coordination.k8s.io", []string{"get", "update"}, "leases")
	objects := kubeSystemRole(name, user(name),
		named(leases, names.ControlPlaneLease), rule("coordination.k8s.io", []string{"create"}, "leases"))
	namespace := named(rule("", []string{"get"}, "namespaces"), metav1.NamespaceSystem)
	return append(objects, clusterRole(name, namespace), clusterBinding(name, user(name), name))
}

// ownRoles define and bind the roles of Skiff's own parts. Each role has the name
// of its user or group.
func ownRoles() []Object {
	var objects []Object
	for name, rules := range controlPlaneRoles() {
		objects = append(objects, clusterRole(name, rules...), clusterBinding(name, user(name), name))
	}
	for name, rules := range nodeRoles() {
		objects = append(objects, clusterRole(name, rules...), clusterBinding(name, group(name), name))
	}
	for name, rules := range hostRoles() {
		objects = append(objects, clusterRole(name, rules...), clusterBinding(name, user(name), name))
	}
	objects = append(objects, metricsReader())
	slices := rule("discovery.k8s.io", []string{"create", "get", "update", "patch", "delete"}, "endpointslices")
	own := named(rule("", read(), "configmaps"), names.CustomDNS)
	return append(objects, kubeSystemRole(names.GroupDNS, group(names.GroupDNS), slices, own)...)
}

// metricsReader lets everybody who may view a namespace read the metrics of its pods.
// metrics-server's role has the same name and content.
func metricsReader() Object {
	o := clusterRole("system:aggregated-metrics-reader", rule("metrics.k8s.io", read(), "pods", "nodes"))
	labels := o.Object.GetLabels()
	for _, role := range []string{"view", "edit", "admin"} {
		labels["rbac.authorization.k8s.io/aggregate-to-"+role] = "true"
	}
	return o
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

// kubeSystemRole defines a role in kube-system and binds the subject to it.
func kubeSystemRole(name string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) []Object {
	return []Object{
		{Resource: rbacResource("roles"), Object: &rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
			ObjectMeta: meta(name, metav1.NamespaceSystem),
			Rules:      rules,
		}},
		{Resource: rbacResource("rolebindings"), Object: &rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: meta(name, metav1.NamespaceSystem),
			Subjects:   []rbacv1.Subject{subject},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		}},
	}
}
