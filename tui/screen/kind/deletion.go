package kind

import (
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
)

// MaxNamed is the number of objects that a question names.
const MaxNamed = 8

// deletion asks before objects are deleted. For a single object whose kind asks
// for it, the question counts what is lost.
func deletion(refs []object.Ref) []screen.Request {
	lost := Of(refs[0].Resource).Deletion
	switch {
	case len(refs) > 1:
		return confirm("Delete", feed.VerbDelete, refs, lost.Many)
	case !lost.Counted:
		return confirm("Delete", feed.VerbDelete, refs, lost.One)
	}
	return []screen.Request{screen.Look{Ref: refs[0], Then: func(f feed.Facts) []screen.Request {
		return confirm("Delete", feed.VerbDelete, refs, append([]string{lost.One}, f.Loss...)...)
	}}}
}

// confirm asks before a task on objects; it names them and what is lost.
func confirm(title string, verb feed.Verb, refs []object.Ref, lost ...string) []screen.Request {
	lines := append(format.Few(namesOf(refs), MaxNamed), "")
	question := screen.Ask{Title: title + " " + nounOf(refs) + "?", Lines: append(lines, lost...), Then: DoAll(verb, refs, nil)}
	if verb == feed.VerbDelete && Of(refs[0].Resource).Deletion.Typed {
		question.Word = refs[0].Name
		if len(refs) > 1 {
			question.Word = fmt.Sprintf("delete %d", len(refs))
		}
	}
	return []screen.Request{question}
}

// nounOf returns "pod", "3 pods" or, for several kinds, "3 objects".
func nounOf(refs []object.Ref) string {
	switch {
	case len(refs) == 1:
		return strings.ToLower(refs[0].Resource.Kind)
	case !same(refs, resourceID):
		return fmt.Sprintf("%d objects", len(refs))
	}
	return fmt.Sprintf("%d %s", len(refs), refs[0].Resource.Name)
}

// namesOf returns the objects' names, with kind and cluster if those differ.
func namesOf(refs []object.Ref) []string {
	oneKind, oneCluster := same(refs, resourceID), same(refs, func(r object.Ref) string { return r.Cluster })
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

func resourceID(r object.Ref) string { return r.Resource.ID() }

// same reports whether of returns the same value for all refs.
func same(refs []object.Ref, of func(object.Ref) string) bool {
	for _, r := range refs {
		if of(r) != of(refs[0]) {
			return false
		}
	}
	return true
}
