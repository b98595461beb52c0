package object

import "strings"

// Resources that every server has: they can be shown before it has told what it
// serves.
var (
	Nodes        = builtin("", "nodes", "Node", false, "no")
	Pods         = builtin("", "pods", "Pod", true, "po")
	Namespaces   = builtin("", "namespaces", "Namespace", false, "ns")
	Events       = builtin("", "events", "Event", true, "ev")
	Services     = builtin("", "services", "Service", true, "svc")
	Claims       = builtin("", "persistentvolumeclaims", "PersistentVolumeClaim", true, "pvc")
	Deployments  = builtin("apps", "deployments", "Deployment", true, "deploy")
	StatefulSets = builtin("apps", "statefulsets", "StatefulSet", true, "sts")
	DaemonSets   = builtin("apps", "daemonsets", "DaemonSet", true, "ds")
	Jobs         = builtin("batch", "jobs", "Job", true)
	CronJobs     = builtin("batch", "cronjobs", "CronJob", true, "cj")
)

func builtin(group, name, kind string, namespaced bool, short ...string) Resource {
	return Resource{
		Group: group, Version: "v1", Name: name, Singular: strings.ToLower(kind), Kind: kind, Short: short, Namespaced: namespaced,
	}
}
