package screen

import (
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Act is Screen's.
func (o *Objects) Act(w *World, a keys.Action) []Request {
	if scroll(o.table, a) {
		return nil
	}
	switch a {
	case keys.Mark:
		o.table.Mark()
	case keys.MarkAll:
		o.table.MarkAll()
	case keys.Unmark:
		o.table.Unmark()
	case keys.Wide:
		o.wide = !o.wide
		o.refresh(w)
	case keys.Faults:
		o.faults = !o.faults
		o.refresh(w)
	case keys.Pick:
		return []Request{Push{Screen: NewNamespaces(w)}}
	case keys.PickAll:
		return []Request{Choose{Namespaces: []string{}}}
	default:
		if row := o.table.Row(); row >= 0 {
			return o.actOn(w, a, row)
		}
	}
	return nil
}

// actOn answers an action on the row under the cursor, or on all marked.
func (o *Objects) actOn(w *World, a keys.Action, row int) []Request {
	ref := o.ref(row)
	switch a {
	case keys.Enter:
		return o.enter(w, row)
	case keys.Copy:
		return []Request{CopyText{What: ref.Name, Text: ref.Name}}
	case keys.Describe:
		return []Request{Push{Screen: NewDocument(ref, feed.Description)}}
	case keys.YAML:
		return []Request{Push{Screen: NewDocument(ref, feed.YAML)}}
	case keys.Events:
		return eventsOf(w, ref)
	case keys.Owner:
		return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request {
			if f.Owner == nil {
				return say(ref.String() + " has no owner")
			}
			return []Request{Push{Screen: selected(NewObjects(w, f.Owner.Resource, Narrow{Cluster: ref.Cluster}), *f.Owner)}}
		}}}
	case keys.ShowTree:
		return []Request{Push{Screen: NewTree(ref)}}
	case keys.ShowLogs, keys.Previous:
		if refs := o.refs(); len(refs) > 1 && o.Resource.ID() == "pods" {
			return logsOfMany(refs, a == keys.Previous)
		}
		return logsOf(ref, a == keys.Previous)
	case keys.Forward:
		return forwardTo(ref)
	}
	return o.change(w, a, ref)
}

// change answers the actions that change something.
func (o *Objects) change(w *World, a keys.Action, ref object.Ref) []Request {
	refs := o.refs()
	switch a {
	case keys.Edit:
		return []Request{do(ref, feed.VerbEdit, nil)}
	case keys.Delete:
		return o.ask("Delete", feed.VerbDelete, refs, o.loss())
	case keys.Kill:
		return o.ask("Delete at once, without grace", feed.VerbKill, refs, "Their programs are not asked to end; what they have not saved is lost.")
	case keys.Scale:
		return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request { return scaleForm(refs, f.Replicas) }}}
	case keys.Restart:
		return o.ask("Restart", feed.VerbRestart, refs, "Their pods are replaced one after the other.")
	case keys.ShowHistory:
		return []Request{Push{Screen: NewDocument(ref, feed.History)}}
	case keys.Undo:
		return o.ask("Undo the last rollout", feed.VerbUndo, []object.Ref{ref}, "It goes back to the revision before; its pods are replaced.")
	case keys.Shell, keys.Attach:
		verb := map[keys.Action]feed.Verb{keys.Shell: feed.VerbShell, keys.Attach: feed.VerbAttach}[a]
		return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request { return inContainer(w, ref, verb, f.Containers) }}}
	case keys.CopyFile:
		return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request { return copyForm(ref, f.Containers) }}}
	case keys.Trigger:
		return []Request{do(ref, feed.VerbTrigger, nil)}
	case keys.Suspend:
		return []Request{do(ref, feed.VerbSuspend, nil)}
	}
	return nil
}

// loss says what deleting objects of this resource takes with it.
func (o *Objects) loss() string {
	switch o.Resource.ID() {
	case "namespaces":
		return "EVERYTHING in them is deleted: workloads, configuration, claims and their data."
	case "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "cronjobs.batch":
		return "Their pods are deleted with them."
	case "pods":
		return "A pod with an owner is replaced by a new one; one without is gone."
	case "persistentvolumeclaims", "persistentvolumes":
		return "The data on the volume may be deleted with it."
	case "customresourcedefinitions.apiextensions.k8s.io":
		return "All objects of these kinds are deleted with them."
	case "secrets", "configmaps":
		return "Pods that use them do not start any more."
	case "nodes":
		return "The node leaves the cluster; its machine runs on."
	}
	return "What they own is deleted with them."
}

// ask asks before a task on objects, naming them.
func (o *Objects) ask(title string, verb feed.Verb, refs []object.Ref, loss string) []Request {
	var names, lines []string
	for _, r := range refs {
		name := r.Name
		if r.Namespace != "" {
			name = r.Namespace + "/" + r.Name
		}
		if len(o.clusters) > 1 {
			name = r.Cluster + ": " + name
		}
		names = append(names, name)
	}
	lines = append(lines, few(names, 8)...)
	lines = append(lines, "", loss)
	what := strings.ToLower(o.Resource.Kind)
	if len(refs) > 1 {
		what = fmt.Sprintf("%d %s", len(refs), o.Resource.Name)
	}
	ask := Ask{Title: title + " " + what + "?", Lines: lines}
	if o.Resource.ID() == "namespaces" && verb == feed.VerbDelete {
		ask.Word = refs[0].Name
	}
	for _, cluster := range o.clusters {
		var mine []object.Ref
		for _, r := range refs {
			if r.Cluster == cluster {
				mine = append(mine, r)
			}
		}
		if len(mine) > 0 {
			ask.Then = append(ask.Then, Do{Cluster: cluster, Task: feed.Task{Verb: verb, Refs: mine}})
		}
	}
	return []Request{ask}
}

func do(ref object.Ref, verb feed.Verb, args map[string]string) Request {
	return Do{Cluster: ref.Cluster, Task: feed.Task{Verb: verb, Refs: []object.Ref{ref}, Args: args}}
}

func scaleForm(refs []object.Ref, replicas int64) []Request {
	title := "Scale " + refs[0].String()
	if len(refs) > 1 {
		title = fmt.Sprintf("Scale %d %s", len(refs), refs[0].Resource.Name)
	}
	form := widget.NewForm(title, []widget.Field{{Name: "replicas", Label: "replicas", Value: fmt.Sprint(max(replicas, 0))}})
	return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
		var all []Request
		for _, r := range refs {
			all = append(all, do(r, feed.VerbScale, values))
		}
		return all
	}}}
}

// inContainer runs a verb in a pod's container; which one is asked if there
// are several.
func inContainer(w *World, ref object.Ref, verb feed.Verb, containers []string) []Request {
	if len(containers) < 2 {
		return []Request{do(ref, verb, map[string]string{"container": strings.Join(containers, "")})}
	}
	form := widget.NewForm(strings.ToUpper(string(verb[:1]))+string(verb[1:])+" in "+ref.String(), []widget.Field{
		{Name: "container", Label: "container", Value: containers[0], Choices: containers, Hint: "← → chooses, ⏎ goes on"},
	})
	return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
		return []Request{do(ref, verb, values)}
	}}}
}

func copyForm(ref object.Ref, containers []string) []Request {
	fields := []widget.Field{
		{Name: "from", Label: "from", Value: ":/", Hint: "a path; with a colon before it, one of the container"},
		{Name: "to", Label: "to", Value: ".", Hint: "the directory it is put into"},
	}
	if len(containers) > 1 {
		fields = append(fields, widget.Field{Name: "container", Label: "container", Value: containers[0], Choices: containers, Hint: "← → chooses"})
	}
	return []Request{Fill{Form: widget.NewForm("Copy files of "+ref.String(), fields), Then: func(values map[string]string) []Request {
		return []Request{do(ref, feed.VerbCopy, values)}
	}}}
}

// forwardTo asks which ports to connect.
func forwardTo(ref object.Ref) []Request {
	return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request {
		port := widget.Field{Name: "port", Label: "its port", Hint: "a number, or the name of a port"}
		if len(f.Ports) > 0 {
			port.Value = f.Ports[0]
		}
		if len(f.Ports) > 1 {
			port.Hint = "it has " + strings.Join(few(f.Ports, 6), ", ")
		}
		form := widget.NewForm("Forward a port to "+ref.String(), []widget.Field{
			port, {Name: "local", Label: "port of this host", Value: "0", Hint: "on 127.0.0.1; 0 takes a free one"},
		})
		return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
			return []Request{do(ref, feed.VerbForward, values)}
		}}}
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
			return say("logs are of one cluster at a time; these pods are of " + need.Cluster + " and " + p.Cluster)
		}
		need.Pods = append(need.Pods, feed.PodName{Namespace: p.Namespace, Name: p.Name})
	}
	return []Request{Push{Screen: newLogs(fmt.Sprintf("%d pods", len(pods)), need)}}
}

// eventsOf are the events about one object.
func eventsOf(w *World, ref object.Ref) []Request {
	events, ok := w.Find("events")
	if !ok {
		return say("this server has no events")
	}
	n := Narrow{
		Name: "of " + ref.String(), Cluster: ref.Cluster,
		Fields: "involvedObject.name=" + ref.Name + ",involvedObject.kind=" + ref.Resource.Kind,
	}
	if ref.Namespace != "" {
		n.Namespaces = []string{ref.Namespace}
	}
	return []Request{Push{Screen: NewObjects(w, events, n)}}
}

func selected(o *Objects, ref object.Ref) *Objects {
	if ref.Namespace != "" {
		o.Scope.Namespaces = []string{ref.Namespace}
		o.namespaces = o.Scope.Namespaces
	}
	o.table.Select(ref.Cluster + "/" + ref.Namespace + "/" + ref.Name)
	return o
}

// enter opens what an object leads to.
func (o *Objects) enter(w *World, row int) []Request {
	ref := o.ref(row)
	switch o.Resource.ID() {
	case "pods":
		return []Request{Push{Screen: NewContainers(ref)}}
	case "namespaces":
		pods, ok := w.Find("pods")
		if !ok {
			return nil
		}
		narrowed := *w
		narrowed.Namespaces = []string{ref.Name}
		return []Request{Choose{Namespaces: narrowed.Namespaces}, Push{Screen: NewObjects(&narrowed, pods, Narrow{})}}
	case "nodes":
		return podsOnNode(w, ref)
	case "cronjobs.batch":
		return o.owned(w, row, "jobs.batch")
	case "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "services", "replicationcontrollers":
		return podsOf(w, ref)
	case "customresourcedefinitions.apiextensions.k8s.io":
		if r, ok := object.Find(w.Resources[ref.Cluster], ref.Name); ok {
			return []Request{Push{Screen: NewObjects(w, r, Narrow{})}}
		}
		return say("the server does not serve " + ref.Name)
	case "configmaps", "secrets":
		return []Request{Push{Screen: NewDocument(ref, feed.YAML)}}
	}
	return []Request{Push{Screen: NewDocument(ref, feed.Description)}}
}

// owned are the objects of another resource that the row's object controls.
func (o *Objects) owned(w *World, row int, resource string) []Request {
	r, ok := w.Find(resource)
	if !ok {
		return nil
	}
	ref := o.ref(row)
	return []Request{Push{Screen: NewObjects(w, r, Narrow{
		Name: "of " + ref.String(), Cluster: ref.Cluster, Namespaces: []string{ref.Namespace}, Owner: o.rows[row].UID,
	})}}
}

func podsOf(w *World, ref object.Ref) []Request {
	pods, ok := w.Find("pods")
	if !ok {
		return nil
	}
	return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request {
		if f.Selector == "" {
			return say(ref.String() + " selects no pods")
		}
		return []Request{Push{Screen: NewObjects(w, pods, Narrow{
			Name: "of " + ref.String(), Cluster: ref.Cluster, Namespaces: []string{ref.Namespace}, Labels: f.Selector,
		})}}
	}}}
}

func podsOnNode(w *World, ref object.Ref) []Request {
	pods, ok := w.Find("pods")
	if !ok {
		return nil
	}
	return []Request{Push{Screen: NewObjects(w, pods, Narrow{
		Name: "on " + ref.Name, Cluster: ref.Cluster, Namespaces: []string{}, Fields: "spec.nodeName=" + ref.Name,
	})}}
}
