package kind

import (
	"fmt"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
)

// tail is the number of lines of each container that a log starts with.
const tail = 500

func enter(w *screen.World, at Aim) []screen.Request {
	if open := Of(at.Ref.Resource).Enter; open != nil {
		return open(w, at)
	}
	return screen.Show(screen.Text(at.Ref, feed.Description))
}

// podsIn selects a namespace and shows its pods.
func podsIn(_ *screen.World, at Aim) []screen.Request {
	return []screen.Request{
		screen.Choose{Namespaces: []string{at.Ref.Name}},
		screen.Open{To: screen.Objects{Resource: object.Pods}},
	}
}

// podsOf shows the pods that an object selects.
func podsOf(_ *screen.World, at Aim) []screen.Request {
	ref := at.Ref
	return []screen.Request{screen.Look{Ref: ref, Then: func(f feed.Facts) []screen.Request {
		if f.Selector == "" {
			return screen.Message(ref.String() + " selects no pods")
		}
		return screen.Show(screen.Objects{Resource: object.Pods, Narrow: screen.Narrow{
			Name: "of " + ref.String(), Cluster: ref.Cluster, Namespaces: []string{ref.Namespace}, Labels: f.Selector,
		}})
	}}}
}

func podsOnNode(_ *screen.World, at Aim) []screen.Request {
	return screen.Show(screen.Objects{Resource: object.Pods, Narrow: screen.Narrow{
		Name: "on " + at.Ref.Name, Cluster: at.Ref.Cluster, Namespaces: []string{}, Fields: "spec.nodeName=" + at.Ref.Name,
	}})
}

// jobsOf shows the jobs that a cron job owns.
func jobsOf(_ *screen.World, at Aim) []screen.Request {
	ref := at.Ref
	return screen.Show(screen.Objects{Resource: object.Jobs, Narrow: screen.Narrow{
		Name: "of " + ref.String(), Cluster: ref.Cluster, Namespaces: []string{ref.Namespace}, Owner: ref.UID,
	}})
}

// customObjects shows the objects of a custom resource definition.
func customObjects(w *screen.World, at Aim) []screen.Request {
	r, ok := object.Find(w.Resources[at.Ref.Cluster], at.Ref.Name)
	if !ok {
		return screen.Message("the API server does not serve " + at.Ref.Name)
	}
	return screen.Show(screen.Objects{Resource: r})
}

// nodeOf selects the node of a pod in the table of nodes.
func nodeOf(_ *screen.World, at Aim) []screen.Request {
	pod := at.Ref
	return []screen.Request{screen.Look{Ref: pod, Then: func(f feed.Facts) []screen.Request {
		if f.Node == "" {
			return screen.Message(pod.String() + " is not scheduled yet")
		}
		return screen.Show(screen.Nodes{Select: pod.Cluster + "/" + f.Node})
	}}}
}

// logs shows the logs of pods, or of the pods that an object selects.
func logs(at Aim, previous bool) []screen.Request {
	ref := at.Ref
	if ref.Resource.ID() == object.Pods.ID() {
		return logsOfPods(at.Refs, previous)
	}
	return []screen.Request{screen.Look{Ref: ref, Then: func(f feed.Facts) []screen.Request {
		if f.Selector == "" {
			return screen.Message(ref.String() + " selects no pods")
		}
		return screen.Show(screen.Logs{Of: ref.String(), Need: feed.Logs{
			Cluster: ref.Cluster, Namespace: ref.Namespace, Labels: f.Selector, Previous: previous, Tail: tail,
		}})
	}}}
}

// logsOfPods merges the logs of one or several pods.
func logsOfPods(pods []object.Ref, previous bool) []screen.Request {
	need := feed.Logs{Cluster: pods[0].Cluster, Previous: previous, Tail: tail}
	if len(pods) == 1 {
		need.Namespace = pods[0].Namespace
	}
	for _, p := range pods {
		if p.Cluster != need.Cluster {
			return screen.Message("cannot show logs from more than one cluster: the pods are in " + need.Cluster + " and " + p.Cluster)
		}
		need.Pods = append(need.Pods, feed.PodName{Namespace: p.Namespace, Name: p.Name})
	}
	of := pods[0].String()
	if len(pods) > 1 {
		of = fmt.Sprintf("%d pods", len(pods))
	}
	return screen.Show(screen.Logs{Of: of, Need: need})
}

// Involved is the field selector of the events about an object, up to its name.
const Involved = "involvedObject.name="

// events shows the events about one object.
func events(_ *screen.World, at Aim) []screen.Request {
	ref := at.Ref
	narrow := screen.Narrow{
		Name: "of " + ref.String(), Cluster: ref.Cluster,
		Fields: Involved + ref.Name + ",involvedObject.kind=" + ref.Resource.Kind,
	}
	if ref.Namespace != "" {
		narrow.Namespaces = []string{ref.Namespace}
	}
	return screen.Show(screen.Objects{Resource: object.Events, Narrow: narrow})
}

// owner selects the controller of an object in the table of its kind.
func owner(_ *screen.World, at Aim) []screen.Request {
	ref := at.Ref
	return []screen.Request{screen.Look{Ref: ref, Then: func(f feed.Facts) []screen.Request {
		if f.Owner == nil {
			return screen.Message(ref.String() + " has no owner")
		}
		to := screen.Objects{
			Resource: f.Owner.Resource, Narrow: screen.Narrow{Cluster: ref.Cluster},
			Select: ref.Cluster + "/" + f.Owner.Namespace + "/" + f.Owner.Name,
		}
		if f.Owner.Namespace != "" {
			to.Narrow.Namespaces = []string{f.Owner.Namespace}
		}
		return screen.Show(to)
	}}}
}
