package kind

import (
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
)

// Aim is what an action applies to.
type Aim struct {
	Ref  object.Ref   // the object under the cursor
	Refs []object.Ref // the marked objects, or just Ref
}

// On returns the aim at a single object.
func On(ref object.Ref) Aim { return Aim{Ref: ref, Refs: []object.Ref{ref}} }

// Act answers an action on objects, whichever screen shows them. It returns nil
// for actions that do not apply to objects.
func Act(w *screen.World, a keys.Action, at Aim) []screen.Request {
	if answer := actions[a]; answer != nil {
		return answer(w, at)
	}
	return nil
}

// actions holds the answer to each action on objects.
var actions = map[keys.Action]func(*screen.World, Aim) []screen.Request{
	keys.Enter:    enter,
	keys.Copy:     func(_ *screen.World, at Aim) []screen.Request { return screen.Copy(at.Ref.Name) },
	keys.Describe: show(feed.Description),
	keys.YAML:     yaml,
	keys.Reveal: func(_ *screen.World, at Aim) []screen.Request {
		return screen.Show(screen.Document{Need: feed.Text{Ref: at.Ref, Kind: feed.YAML, Reveal: true}})
	},
	keys.Events:      events,
	keys.Owner:       owner,
	keys.ShowNode:    nodeOf,
	keys.ShowTree:    func(_ *screen.World, at Aim) []screen.Request { return screen.Show(screen.Tree{Ref: at.Ref}) },
	keys.ShowHistory: show(feed.History),
	keys.ShowLogs:    func(_ *screen.World, at Aim) []screen.Request { return logs(at, false) },
	keys.Previous:    func(_ *screen.World, at Aim) []screen.Request { return logs(at, true) },
	keys.SearchLogs:  func(_ *screen.World, at Aim) []screen.Request { return searchPods(at) },
	keys.Forward:     func(_ *screen.World, at Aim) []screen.Request { return forward(at.Ref) },

	keys.Edit:   run(feed.VerbEdit),
	keys.Delete: func(_ *screen.World, at Aim) []screen.Request { return deletion(at.Refs) },
	keys.Kill: func(_ *screen.World, at Aim) []screen.Request {
		return confirm("Kill", feed.VerbKill, at.Refs, "It is deleted without a grace period; unsaved data is lost.")
	},
	keys.Scale: withFacts(func(at Aim, f feed.Facts) []screen.Request { return scaleForm(at.Refs, f) }),
	keys.Restart: func(_ *screen.World, at Aim) []screen.Request {
		return confirm("Restart", feed.VerbRestart, at.Refs, "Its pods are replaced one by one.")
	},
	keys.Undo: func(_ *screen.World, at Aim) []screen.Request {
		return confirm("Undo the last rollout of", feed.VerbUndo, []object.Ref{at.Ref}, "It is rolled back to the previous revision, and its pods are replaced.")
	},
	keys.Shell: withFacts(func(at Aim, f feed.Facts) []screen.Request {
		return containerForm(at.Ref, feed.VerbShell, "Shell in ", f.Containers)
	}),
	keys.Attach: withFacts(func(at Aim, f feed.Facts) []screen.Request {
		return containerForm(at.Ref, feed.VerbAttach, "Attach to ", f.Containers)
	}),
	keys.CopyFile: withFacts(func(at Aim, f feed.Facts) []screen.Request { return copyForm(at.Ref, f.Containers) }),
	keys.Trigger:  run(feed.VerbTrigger),
	keys.Suspend:  run(feed.VerbSuspend),
}

// show answers with a text about the object.
func show(text feed.TextKind) func(*screen.World, Aim) []screen.Request {
	return func(_ *screen.World, at Aim) []screen.Request { return screen.Show(screen.Text(at.Ref, text)) }
}

// run answers with a task that needs no confirmation.
func run(verb feed.Verb) func(*screen.World, Aim) []screen.Request {
	return func(_ *screen.World, at Aim) []screen.Request { return Do(at.Ref, verb, nil) }
}

// withFacts reads the object's facts first.
func withFacts(then func(Aim, feed.Facts) []screen.Request) func(*screen.World, Aim) []screen.Request {
	return func(_ *screen.World, at Aim) []screen.Request {
		return []screen.Request{screen.Look{Ref: at.Ref, Then: func(f feed.Facts) []screen.Request { return then(at, f) }}}
	}
}

// ActOnContainer answers an action on one container of a pod. Actions that
// containers do not have apply to the pod.
func ActOnContainer(w *screen.World, a keys.Action, pod object.Ref, container string) []screen.Request {
	args := map[string]string{"container": container}
	switch a {
	case keys.Enter, keys.ShowLogs, keys.Previous:
		return screen.Show(screen.Logs{Of: pod.String(), Need: feed.Logs{
			Cluster: pod.Cluster, Pods: []feed.PodName{{Namespace: pod.Namespace, Name: pod.Name}},
			Container: container, Previous: a == keys.Previous, Tail: tail,
		}})
	case keys.SearchLogs:
		return SearchLogs(feed.StoredLogs{Cluster: pod.Cluster, Namespaces: []string{pod.Namespace}, Pod: pod.Name, Container: container})
	case keys.Shell:
		return Do(pod, feed.VerbShell, args)
	case keys.Attach:
		return Do(pod, feed.VerbAttach, args)
	case keys.Copy:
		return screen.Copy(container)
	}
	return Act(w, a, On(pod))
}

// Do returns the request for a task on one object.
func Do(ref object.Ref, verb feed.Verb, args map[string]string) []screen.Request {
	return DoAll(verb, []object.Ref{ref}, args)
}

// DoAll returns the requests for a task on several objects, one for each of
// their clusters.
func DoAll(verb feed.Verb, refs []object.Ref, args map[string]string) []screen.Request {
	var tasks []screen.Do
	index := map[string]int{}
	for _, r := range refs {
		i, known := index[r.Cluster]
		if !known {
			i = len(tasks)
			index[r.Cluster] = i
			tasks = append(tasks, screen.Do{Cluster: r.Cluster, Task: feed.Task{Verb: verb, Args: args}})
		}
		tasks[i].Task.Refs = append(tasks[i].Task.Refs, r)
	}
	var all []screen.Request
	for _, t := range tasks {
		all = append(all, t)
	}
	return all
}
