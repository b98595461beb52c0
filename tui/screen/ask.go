package screen

import (
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// maxNamed is how many of the objects that a question is about are named.
const maxNamed = 8

// deletion asks before objects are deleted. What goes with a single one is
// looked up first.
func deletion(refs []object.Ref) []Request {
	general := loss(refs)
	if len(refs) > 1 || !weighs(refs[0].Resource) {
		return ask("Delete", feed.VerbDelete, refs, general)
	}
	return []Request{Look{Ref: refs[0], Then: func(f feed.Facts) []Request {
		return ask("Delete", feed.VerbDelete, refs, append([]string{general}, f.Loss...)...)
	}}}
}

// weighs says whether deleting an object of this resource takes others with it.
func weighs(r object.Resource) bool {
	switch r.ID() {
	case "namespaces", "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch",
		"persistentvolumeclaims", "persistentvolumes", "customresourcedefinitions.apiextensions.k8s.io":
		return true
	}
	return false
}

// loss says what deleting objects of a resource takes with it.
func loss(refs []object.Ref) string {
	its, it := "Its", "it"
	if len(refs) > 1 {
		its, it = "Their", "them"
	}
	switch refs[0].Resource.ID() {
	case "namespaces":
		return "EVERYTHING in " + it + " is deleted: workloads, configuration, volume claims and their data."
	case "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "cronjobs.batch":
		return its + " pods are deleted too."
	case "pods":
		return "A pod that has an owner is replaced; one without is gone."
	case "persistentvolumeclaims", "persistentvolumes":
		return "The data on the volume may be deleted too."
	case "customresourcedefinitions.apiextensions.k8s.io":
		return "All objects of " + map[bool]string{true: "this kind", false: "these kinds"}[len(refs) == 1] + " are deleted too."
	case "secrets", "configmaps":
		return "Pods that use " + it + " can no longer start."
	case "nodes":
		return "The node leaves the cluster; its machine keeps running."
	}
	return "Everything " + map[bool]string{true: "it owns", false: "they own"}[len(refs) == 1] + " is deleted too."
}

// ask asks before a task on objects, naming them and what is lost.
func ask(title string, verb feed.Verb, refs []object.Ref, lost ...string) []Request {
	lines := few(namesOf(refs), maxNamed)
	lines = append(append(lines, ""), lost...)
	question := Ask{Title: title + " " + whatOf(refs) + "?", Lines: lines, Then: together(verb, refs, nil)}
	if refs[0].Resource.ID() == "namespaces" && verb == feed.VerbDelete {
		question.Word = refs[0].Name
		if len(refs) > 1 {
			question.Word = fmt.Sprintf("delete %d", len(refs))
		}
	}
	return []Request{question}
}

// whatOf is "pod", "3 pods" or, of several kinds, "3 objects".
func whatOf(refs []object.Ref) string {
	if len(refs) == 1 {
		return strings.ToLower(refs[0].Resource.Kind)
	}
	if !alike(refs, func(r object.Ref) string { return r.Resource.ID() }) {
		return fmt.Sprintf("%d objects", len(refs))
	}
	return fmt.Sprintf("%d %s", len(refs), refs[0].Resource.Name)
}

// namesOf tells objects apart: by kind and cluster where they differ in them.
func namesOf(refs []object.Ref) []string {
	oneKind := alike(refs, func(r object.Ref) string { return r.Resource.ID() })
	oneCluster := alike(refs, func(r object.Ref) string { return r.Cluster })
	var names []string
	for _, r := range refs {
		name := r.Name
		if r.Namespace != "" {
			name = r.Namespace + "/" + name
		}
		if !oneKind {
			name = strings.ToLower(r.Resource.Kind) + " " + name
		}
		if !oneCluster {
			name = r.Cluster + ": " + name
		}
		names = append(names, name)
	}
	return names
}

func alike(refs []object.Ref, by func(object.Ref) string) bool {
	for _, r := range refs {
		if by(r) != by(refs[0]) {
			return false
		}
	}
	return true
}
