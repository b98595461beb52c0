package screen

import (
	"fmt"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// lead opens what an object leads to.
func lead(w *World, at aim) []Request {
	ref := at.ref
	switch ref.Resource.ID() {
	case "pods":
		return []Request{Push{Screen: NewContainers(ref)}}
	case "namespaces":
		narrowed := *w
		narrowed.Namespaces = []string{ref.Name}
		return []Request{Choose{Namespaces: narrowed.Namespaces}, Push{Screen: NewObjects(&narrowed, object.Pods, Narrow{})}}
	case "nodes":
		return podsOnNode(w, ref)
	case "cronjobs.batch":
		return []Request{Push{Screen: NewObjects(w, object.Jobs, Narrow{
			Name: "of " + ref.String(), Cluster: ref.Cluster, Namespaces: []string{ref.Namespace}, Owner: at.uid,
		})}}
	case "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "services", "replicationcontrollers":
		return podsOf(w, ref)
	case "customresourcedefinitions.apiextensions.k8s.io":
		if r, ok := object.Find(w.Resources[ref.Cluster], ref.Name); ok {
			return []Request{Push{Screen: NewObjects(w, r, Narrow{})}}
		}
		return say("the API server does not serve " + ref.Name)
	case "configmaps", "secrets":
		return []Request{Push{Screen: NewDocument(ref, feed.YAML)}}
	}
	return []Request{Push{Screen: NewDocument(ref, feed.Description)}}
}

func podsOf(w *World, ref object.Ref) []Request {
	return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request {
		if f.Selector == "" {
			return say(ref.String() + " selects no pods")
		}
		return []Request{Push{Screen: NewObjects(w, object.Pods, Narrow{
			Name: "of " + ref.String(), Cluster: ref.Cluster, Namespaces: []string{ref.Namespace}, Labels: f.Selector,
		})}}
	}}}
}

func podsOnNode(w *World, ref object.Ref) []Request {
	return []Request{Push{Screen: NewObjects(w, object.Pods, Narrow{
		Name: "on " + ref.Name, Cluster: ref.Cluster, Namespaces: []string{}, Fields: "spec.nodeName=" + ref.Name,
	})}}
}

// nodeOf shows the node that a pod is on, among the others.
func nodeOf(w *World, pod object.Ref) []Request {
	return []Request{Look{Ref: pod, Then: func(f feed.Facts) []Request {
		if f.Node == "" {
			return say(pod.String() + " is not scheduled yet")
		}
		nodes := NewNodes(w)
		nodes.table.Select(pod.Cluster + "/" + f.Node)
		return []Request{Push{Screen: nodes}}
	}}}
}

// logsOf shows the logs of a pod, or of the pods that something selects.
func logsOf(ref object.Ref, previous bool) []Request {
	need := feed.Logs{Cluster: ref.Cluster, Namespace: ref.Namespace, Previous: previous, Tail: tail}
	if ref.Resource.ID() == "pods" {
		need.Pods = []feed.PodName{{Namespace: ref.Namespace, Name: ref.Name}}
		return []Request{Push{Screen: NewLogs(ref, need)}}
	}
	return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request {
		if f.Selector == "" {
			return say(ref.String() + " selects no pods")
		}
		need.Labels = f.Selector
		return []Request{Push{Screen: NewLogs(ref, need)}}
	}}}
}

// logsOfMany shows the logs of several pods together.
func logsOfMany(pods []object.Ref, previous bool) []Request {
	need := feed.Logs{Cluster: pods[0].Cluster, Previous: previous, Tail: tail}
	for _, p := range pods {
		if p.Cluster != need.Cluster {
			return say("cannot show logs from more than one cluster: the pods are in " + need.Cluster + " and " + p.Cluster)
		}
		need.Pods = append(need.Pods, feed.PodName{Namespace: p.Namespace, Name: p.Name})
	}
	return []Request{Push{Screen: newLogs(fmt.Sprintf("%d pods", len(pods)), need)}}
}

// involved selects events by the object that they are about.
const involved = "involvedObject.name="

// eventsOf are the events about one object.
func eventsOf(w *World, ref object.Ref) []Request {
	n := Narrow{
		Name: "of " + ref.String(), Cluster: ref.Cluster,
		Fields: involved + ref.Name + ",involvedObject.kind=" + ref.Resource.Kind,
	}
	if ref.Namespace != "" {
		n.Namespaces = []string{ref.Namespace}
	}
	return []Request{Push{Screen: NewObjects(w, object.Events, n)}}
}

// ownerOf shows the object that controls this one, among its like.
func ownerOf(w *World, ref object.Ref) []Request {
	return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request {
		if f.Owner == nil {
			return say(ref.String() + " has no owner")
		}
		n := Narrow{Cluster: ref.Cluster}
		if f.Owner.Namespace != "" {
			n.Namespaces = []string{f.Owner.Namespace}
		}
		owners := NewObjects(w, f.Owner.Resource, n)
		owners.table.Select(ref.Cluster + "/" + f.Owner.Namespace + "/" + f.Owner.Name)
		return []Request{Push{Screen: owners}}
	}}}
}
