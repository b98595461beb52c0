package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

func resource(group, name, kind string, namespaced bool, short ...string) object.Resource {
	return object.Resource{
		Group: group, Version: "v1", Name: name, Singular: strings.ToLower(kind), Kind: kind, Namespaced: namespaced, Short: short,
	}
}

var served = []object.Resource{
	object.Pods, object.Nodes, object.Namespaces,
	resource("", "services", "Service", true, "svc"), resource("", "secrets", "Secret", true), resource("", "events", "Event", true, "ev"),
	resource("apps", "deployments", "Deployment", true, "deploy"), resource("apps", "statefulsets", "StatefulSet", true, "sts"),
	resource("apps", "daemonsets", "DaemonSet", true, "ds"), resource("batch", "jobs", "Job", true), resource("batch", "cronjobs", "CronJob", true, "cj"),
	resource("discovery.k8s.io", "endpointslices", "EndpointSlice", true), resource("networking.k8s.io", "ingresses", "Ingress", true, "ing"),
	resource("", "configmaps", "ConfigMap", true, "cm"), resource("", "persistentvolumeclaims", "PersistentVolumeClaim", true, "pvc"),
	resource("", "persistentvolumes", "PersistentVolume", false, "pv"), resource("example.com", "boats", "Boat", true),
	resource("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", false, "crd"),
}

func columns(names ...string) []object.Column {
	var all []object.Column
	for _, n := range names {
		name, wide := strings.CutPrefix(n, "+")
		all = append(all, object.Column{Name: name, Wide: wide})
	}
	return all
}

func row(namespace, name string, age time.Duration, cells ...string) *object.Row {
	return &object.Row{
		Cluster: "dev", Namespace: namespace, Name: name, UID: namespace + "/" + name, Cells: append([]string{name}, cells...),
		Created: noon.Add(-age), Read: noon, Labels: map[string]string{"app": strings.SplitN(name, "-", 2)[0]},
	}
}

func tables() map[string]object.Table {
	all := map[string]object.Table{
		"pods": {Columns: columns("Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node"), Rows: []*object.Row{
			row("kube-system", "coredns-5dd5756b68-9tq8z", 26*time.Hour, "1/1", "Running", "0", "26h", "10.244.0.2", "control-plane-1", "<none>"),
			row("shop", "db-0", 3*time.Hour, "1/1", "Running", "0", "3h", "10.244.1.4", "worker-1", "<none>"),
			row("shop", "payments-6c7d8b9f5-kk2lm", 40*time.Minute, "0/1", "CrashLoopBackOff", "7 (3m ago)", "40m", "10.244.2.9", "worker-2", "<none>"),
			row("shop", "search-58f6c9d7c4-p0o9i", 12*time.Minute, "0/1", "ImagePullBackOff", "0", "12m", "10.244.1.7", "worker-1", "<none>"),
			row("shop", "web-7d9c5b8f4-b7b2p", 3*time.Hour, "2/2", "Running", "1 (2h ago)", "3h", "10.244.1.5", "worker-1", "<none>"),
			row("shop", "web-7d9c5b8f4-x2x9k", 3*time.Hour, "2/2", "Running", "0", "3h", "10.244.2.5", "worker-2", "<none>"),
			row("shop", "web-7d9c5b8f4-zzp0q", 15*time.Second, "0/2", "Pending", "0", "15s", "<none>", "<none>", "<none>"),
		}},
		"nodes": {Columns: columns("Name", "Status", "Roles", "Age", "Version", "+Internal-IP", "+OS-Image", "+Kernel-Version", "+Container-Runtime")},
		"namespaces": {Columns: columns("Name", "Status", "Age"), Rows: []*object.Row{
			row("", "default", 26*time.Hour, "Active", "26h"), row("", "kube-system", 26*time.Hour, "Active", "26h"), row("", "shop", 3*time.Hour, "Active", "3h"),
		}},
		"deployments.apps": {Columns: columns("Name", "Ready", "Up-to-date", "Available", "Age", "+Containers"), Rows: []*object.Row{
			row("shop", "payments", 3*time.Hour, "0/1", "1", "0", "3h", "payments"), row("shop", "web", 3*time.Hour, "2/3", "3", "2", "3h", "web,metrics"),
		}},
		"services": {Columns: columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"), Rows: []*object.Row{
			row("default", "kubernetes", 26*time.Hour, "ClusterIP", "10.96.0.1", "<none>", "443/TCP", "26h"), row("shop", "store", time.Hour, "LoadBalancer", "10.96.40.2", "192.168.104.129", "80:31234/TCP", "1h"),
			row("shop", "web", 3*time.Hour, "ClusterIP", "10.96.12.7", "<none>", "80/TCP", "3h"),
		}},
		"secrets": {Columns: columns("Name", "Type", "Data", "Age"), Rows: []*object.Row{row("shop", "db-login", 3*time.Hour, "Opaque", "2", "3h")}},
		"events": {Columns: columns("Last Seen", "Type", "Reason", "Object", "+Subobject", "Message", "+Name"), Rows: []*object.Row{
			{Cluster: "dev", Namespace: "shop", Name: "e1", Cells: []string{"3m", "Warning", "BackOff", "pod/payments-6c7d8b9f5-kk2lm", "", "Back-off restarting failed container", "e1"}, Read: noon},
			{Cluster: "dev", Namespace: "shop", Name: "e2", Cells: []string{"15s", "Normal", "Scheduled", "pod/web-7d9c5b8f4-zzp0q", "", "Successfully assigned", "e2"}, Read: noon},
		}},
		"statefulsets.apps": {Columns: columns("Name", "Ready", "Age", "+Containers", "+Images"), Rows: []*object.Row{row("shop", "db", 3*time.Hour, "1/1", "3h", "db", "db:16")}},
		"daemonsets.apps": {Columns: columns("Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age"), Rows: []*object.Row{
			row("shop", "collector", 3*time.Hour, "2", "2", "1", "2", "1", "<none>", "3h"),
		}},
		"jobs.batch": {Columns: columns("Name", "Status", "Completions", "Duration", "Age"), Rows: []*object.Row{
			row("shop", "migrate", 3*time.Hour, "Complete", "1/1", "4s", "3h"), row("shop", "import", 40*time.Minute, "Failed", "0/1", "40m", "40m"),
		}},
		"cronjobs.batch": {Columns: columns("Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age"), Rows: []*object.Row{
			row("shop", "report", 26*time.Hour, "0 3 * * *", "<none>", "False", "0", "9h", "26h"),
		}},
		"endpointslices.discovery.k8s.io": {Columns: columns("Name", "AddressType", "Ports", "Endpoints", "Age"), Rows: []*object.Row{
			row("shop", "web-x7k2p", 3*time.Hour, "IPv4", "8080", "10.244.1.5,10.244.2.5", "3h"),
		}},
		"ingresses.networking.k8s.io": {Columns: columns("Name", "Class", "Hosts", "Address", "Ports", "Age"), Rows: []*object.Row{
			row("shop", "web", 3*time.Hour, "<none>", "shop.example.com", "", "80", "3h"),
		}},
		"configmaps": {Columns: columns("Name", "Data", "Age"), Rows: []*object.Row{row("shop", "kube-root-ca.crt", 3*time.Hour, "1", "3h"), row("shop", "web", 3*time.Hour, "2", "3h")}},
		"persistentvolumeclaims": {Columns: columns("Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age"), Rows: []*object.Row{
			row("shop", "data-db-0", 3*time.Hour, "Bound", "pvc-1b9f", "1Gi", "RWO", "local", "<unset>", "3h"), row("shop", "scratch", time.Minute, "Pending", "", "", "", "local", "<unset>", "1m"),
		}},
		"persistentvolumes": {Columns: columns("Name", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass", "VolumeAttributesClass", "Reason", "Age"), Rows: []*object.Row{
			row("", "pvc-1b9f", 3*time.Hour, "1Gi", "RWO", "Delete", "Bound", "shop/data-db-0", "local", "<unset>", "", "3h"),
		}},
		"customresourcedefinitions.apiextensions.k8s.io": {Columns: columns("Name", "Created At"), Rows: []*object.Row{row("", "boats.example.com", time.Hour, "2026-11-21T11:00:00Z")}},
		"boats.example.com": {Columns: columns("Name", "Length", "Age"), Rows: []*object.Row{row("shop", "dinghy", time.Hour, "12", "1h")}},
	}
	nodes := all["nodes"]
	for i, name := range []string{"control-plane-1", "worker-1", "worker-2"} {
		role := "<none>"
		if i == 0 {
			role = "control-plane"
		}
		one := row("", name, 26*time.Hour, "Ready", role, "26h", "v1.36.3", fmt.Sprintf("192.168.104.%d", 11+10*i), "Skiff node", "6.1.0", "containerd://2.4.2")
		one.Conditions = []object.Condition{
			{Type: "MemoryPressure", Status: "False"}, {Type: "DiskPressure", Status: "False"}, {Type: "PIDPressure", Status: "False"}, {Type: "Ready", Status: "True"},
		}
		if i == 0 {
			one.Taints = []string{"node-role.kubernetes.io/control-plane:NoSchedule"}
		}
		if i == 2 {
			one.Conditions[1] = object.Condition{Type: "DiskPressure", Status: "True", Reason: "KubeletHasDiskPressure", Message: "kubelet has disk pressure"}
			one.Taints = []string{"node.kubernetes.io/disk-pressure:NoSchedule"}
		}
		nodes.Rows = append(nodes.Rows, one)
	}
	all["nodes"] = nodes
	return all
}

var texts = map[feed.TextKind]string{
	feed.Description: "Name:             web-7d9c5b8f4-x2x9k\nNamespace:        shop\nStatus:           Running\nIP:               10.244.2.5\nContainers:\n  web:\n    Image:        registry.example.com/web:1.4.2\n    Ready:        True\nEvents:           <none>\n",
	feed.YAML:        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web-7d9c5b8f4-x2x9k\n  namespace: shop\nspec:\n  containers:\n  - name: web\n    image: registry.example.com/web:1.4.2\n    ports:\n    - containerPort: 8080\n  restartPolicy: Always\n",
	feed.History:     "REVISION  CHANGE-CAUSE\n1         <none>\n2         <none>\n3         <none>\n",
}

var logLines = []feed.Line{
	{Source: "web", At: noon.Add(-3 * time.Second), Text: "listening on :8080"},
	{Source: "web", At: noon.Add(-2 * time.Second), Text: `{"level":"info","msg":"request","path":"/cart","status":200,"ms":12}`},
	{Source: "metrics", At: noon.Add(-time.Second), Text: "WARN scrape took 1.2 s"},
	{Source: "web", At: noon, Text: "error: connection to db-0 refused"},
}

func usage(cluster string) feed.Stats {
	s := feed.Stats{Cluster: cluster, Nodes: map[string]feed.ResourceUsage{}, Pods: map[string]feed.ResourceUsage{}, Freshness: live()}
	for i, name := range []string{"control-plane-1", "worker-1", "worker-2"} {
		s.Nodes[name] = feed.ResourceUsage{MilliCPU: int64(310 - 90*i), MemoryBytes: int64(420-60*i) << 20, ReceivedPerS: 12_000, SentPerS: 48_000, At: noon}
	}
	for i, r := range tables()["pods"].Rows {
		s.Pods[r.Namespace+"/"+r.Name] = feed.ResourceUsage{MilliCPU: int64(3 + 17*i), MemoryBytes: int64(20+30*i) << 20, At: noon}
	}
	s.Containers = map[string]feed.ResourceUsage{"shop/web-7d9c5b8f4-x2x9k/web": {MilliCPU: 61, MemoryBytes: 120 << 20, At: noon}}
	return s
}

func control(cluster string) feed.ControlPlaneStatus {
	return feed.ControlPlaneStatus{
		Cluster: cluster, Version: "v1.36.3", Latency: 2300 * time.Microsecond, EtcdBytes: 3 << 20, EtcdObjects: 214, RequestsPerS: 31, InFlight: 2, Freshness: live(),
		Checks:  []feed.Check{{Name: "ping", OK: true, Text: "ok"}, {Name: "etcd", OK: true, Text: "ok"}, {Name: "poststarthook/rbac/bootstrap-roles", OK: false, Text: "failed: reason withheld"}},
		Members: []feed.Member{{Name: "control-plane-1", Address: "192.168.104.11", Ready: "True", Leader: true, API: "ready", Latency: 4100 * time.Microsecond}},
		Leases:  []feed.Lease{{Name: "skiff-controlplane", Holder: "control-plane-1", Renewed: noon.Add(-2 * time.Second), Duration: 4 * time.Second}},
		Certs: []feed.Certificate{
			{Name: "client", Subject: "CN=skiff-admin", Expires: noon.Add(20 * 24 * time.Hour)}, {Name: "API server", Subject: "CN=kube-apiserver", Expires: noon.Add(360 * 24 * time.Hour)},
		},
	}
}

var webContainers = []feed.Container{
	{Name: "migrate", Kind: "init", Image: "registry.example.com/migrate:1.4.2", State: "Completed", Ended: true, Since: noon.Add(-3 * time.Hour), Requests: "-", Limits: "-"},
	{
		Name: "web", Image: "registry.example.com/web:1.4.2", State: "Running", Ready: true, Since: noon.Add(-3 * time.Hour), Ports: []string{"http:8080"},
		Requests: "100m/64Mi", Limits: "-/128Mi", Probes: "liveness readiness",
	},
	{Name: "metrics", Image: "registry.example.com/metrics:1.4.2", State: "CrashLoopBackOff", Restarts: 7, Ports: []string{"9090"}, Requests: "-", Limits: "-"},
}

var family = feed.TreeNode{
	Ref: object.Ref{Cluster: "dev", Resource: resource("apps", "deployments", "Deployment", true), Namespace: "shop", Name: "web"}, Status: "2/3 ready",
	Children: []feed.TreeNode{{
		Ref: object.Ref{Cluster: "dev", Resource: resource("apps", "replicasets", "ReplicaSet", true), Namespace: "shop", Name: "web-7d9c5b8f4"}, Status: "2/3 ready",
		Children: []feed.TreeNode{pod("web-7d9c5b8f4-x2x9k", "Running", true), pod("web-7d9c5b8f4-b7b2p", "Running", true), pod("web-7d9c5b8f4-zzp0q", "Pending", false)},
	}},
}

func pod(name, status string, healthy bool) feed.TreeNode {
	ref := object.Ref{Cluster: "dev", Resource: object.Pods, Namespace: "shop", Name: name}
	state := map[bool]string{true: "running", false: "ContainerCreating"}[healthy]
	return feed.TreeNode{Ref: ref, Status: status, Healthy: healthy, Children: []feed.TreeNode{
		{Ref: ref, Container: "web", Status: state, Healthy: healthy}, {Ref: ref, Container: "metrics", Status: state, Healthy: healthy},
	}}
}
