package screen

import (
	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
)

// aim is what an action is about.
type aim struct {
	ref  object.Ref   // under the cursor
	uid  string       // of ref
	refs []object.Ref // all that are marked, or ref alone
}

// scopesOf are the keys that hold for objects of a resource beside those for
// all objects.
func scopesOf(r object.Resource) []keys.Scope {
	switch r.ID() {
	case "pods":
		return []keys.Scope{keys.Pods}
	case "deployments.apps", "statefulsets.apps":
		return []keys.Scope{keys.Scalable, keys.Rollout, keys.Selecting}
	case "daemonsets.apps":
		return []keys.Scope{keys.Rollout, keys.Selecting}
	case "replicasets.apps", "replicationcontrollers":
		return []keys.Scope{keys.Scalable, keys.Selecting}
	case "services", "jobs.batch":
		return []keys.Scope{keys.Selecting}
	case "cronjobs.batch":
		return []keys.Scope{keys.Cronjobs}
	case "secrets":
		return []keys.Scope{keys.Secrets}
	}
	return nil
}

// act answers an action on objects, whichever screen shows them.
func act(w *World, a keys.Action, at aim) []Request {
	ref := at.ref
	switch a {
	case keys.Enter:
		return lead(w, at)
	case keys.Copy:
		return []Request{CopyText{What: ref.Name, Text: ref.Name}}
	case keys.Describe:
		return []Request{Push{Screen: NewDocument(ref, feed.Description)}}
	case keys.YAML:
		return []Request{Push{Screen: NewDocument(ref, feed.YAML)}}
	case keys.Reveal:
		shown := NewDocument(ref, feed.YAML)
		shown.need.Reveal = true
		return []Request{Push{Screen: shown}}
	case keys.Events:
		return eventsOf(w, ref)
	case keys.Owner:
		return ownerOf(w, ref)
	case keys.ShowNode:
		return nodeOf(w, ref)
	case keys.ShowTree:
		return []Request{Push{Screen: NewTree(ref)}}
	case keys.ShowHistory:
		return []Request{Push{Screen: NewDocument(ref, feed.History)}}
	case keys.ShowLogs, keys.Previous:
		if len(at.refs) > 1 && ref.Resource.ID() == "pods" {
			return logsOfMany(at.refs, a == keys.Previous)
		}
		return logsOf(ref, a == keys.Previous)
	case keys.Forward:
		return forwardTo(ref)
	}
	return change(a, at)
}

// change answers the actions that change something.
func change(a keys.Action, at aim) []Request {
	ref := at.ref
	switch a {
	case keys.Edit:
		return []Request{do(ref, feed.VerbEdit, nil)}
	case keys.Delete:
		return deletion(at.refs)
	case keys.Kill:
		return ask("Kill", feed.VerbKill, at.refs, "It is deleted without a grace period; unsaved data is lost.")
	case keys.Scale:
		return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request { return scaleForm(at.refs, f) }}}
	case keys.Restart:
		return ask("Restart", feed.VerbRestart, at.refs, "Its pods are replaced one by one.")
	case keys.Undo:
		return ask("Undo the last rollout of", feed.VerbUndo, []object.Ref{ref}, "It is rolled back to the previous revision, and its pods are replaced.")
	case keys.Shell:
		return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request { return inContainer(ref, feed.VerbShell, f.Containers) }}}
	case keys.Attach:
		return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request { return inContainer(ref, feed.VerbAttach, f.Containers) }}}
	case keys.CopyFile:
		return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request { return copyForm(ref, f.Containers) }}}
	case keys.Trigger:
		return []Request{do(ref, feed.VerbTrigger, nil)}
	case keys.Suspend:
		return []Request{do(ref, feed.VerbSuspend, nil)}
	}
	return nil
}

func do(ref object.Ref, verb feed.Verb, args map[string]string) Request {
	return Do{Cluster: ref.Cluster, Task: feed.Task{Verb: verb, Refs: []object.Ref{ref}, Args: args}}
}

// together is a task on several objects, one for each of their clusters.
func together(verb feed.Verb, refs []object.Ref, args map[string]string) []Request {
	var all []Request
	at := map[string]int{}
	for _, r := range refs {
		i, known := at[r.Cluster]
		if !known {
			i, at[r.Cluster] = len(all), len(all)
			all = append(all, Do{Cluster: r.Cluster, Task: feed.Task{Verb: verb, Args: args}})
		}
		d := all[i].(Do)
		d.Task.Refs = append(d.Task.Refs, r)
		all[i] = d
	}
	return all
}
