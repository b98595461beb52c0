package object

import "strings"

// Resources that every API server has. They can be shown before discovery has
// finished.
var (
	Nodes                  = builtin("", "nodes", "Node", false, "no")
	Pods                   = builtin("", "pods", "Pod", true, "po")
	Namespaces             = builtin("", "namespaces", "Namespace", false, "ns")
	Events                 = builtin("", "events", "Event", true, "ev")
	Services               = builtin("", "services", "Service", true, "svc")
	ConfigMaps             = builtin("", "configmaps", "ConfigMap", true, "cm")
	Secrets                = builtin("", "secrets", "Secret", true)
	Claims                 = builtin("", "persistentvolumeclaims", "PersistentVolumeClaim", true, "pvc")
	Volumes                = builtin("", "persistentvolumes", "PersistentVolume", false, "pv")
	ReplicationControllers = builtin("", "replicationcontrollers", "ReplicationController", true, "rc")
	Deployments            = builtin("apps", "deployments", "Deployment", true, "deploy")
	StatefulSets           = builtin("apps", "statefulsets", "StatefulSet", true, "sts")
	DaemonSets             = builtin("apps", "daemonsets", "DaemonSet", true, "ds")
	ReplicaSets            = builtin("apps", "replicasets", "ReplicaSet", true, "rs")
	Jobs                   = builtin("batch", "jobs", "Job", true)
	CronJobs               = builtin("batch", "cronjobs", "CronJob", true, "cj")
	Definitions            = builtin("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", false, "crd")
)

func builtin(group, name, kind string, namespaced bool, short ...string) Resource {
	return Resource{
		Group: group, Version: "v1", Name: name, Singular: strings.ToLower(kind), Kind: kind, Short: short, Namespaced: namespaced,
	}
}
