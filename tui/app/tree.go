package app

import (
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
)

// cursorScreen is a screen with an object under its cursor.
type cursorScreen interface {
	Current() (object.Ref, bool)
}

// treeUsage explains ":tree".
const treeUsage = "t shows the tree of the selected object; or type :tree KIND NAME [NAMESPACE]"

// showTree runs ":tree [KIND [NAME [NAMESPACE]]]". Without arguments it opens the
// tree of the object under the cursor, or a list to choose from.
func showTree(m *Model, args []string) []screen.Request {
	if len(m.world.Clusters) == 0 {
		return screen.Failure("select a cluster first")
	}
	if len(args) == 0 {
		if p, ok := m.top().(cursorScreen); ok {
			if ref, ok := p.Current(); ok {
				return screen.Show(screen.Tree{Ref: ref})
			}
		}
		args = []string{"deployments"}
	}
	r, ok := m.world.Find(args[0])
	if !ok {
		return m.unknown(args[0], "no resource", func() []screen.Request { return showTree(m, args) })
	}
	if len(args) == 1 {
		return append(screen.Show(screen.Objects{Resource: r}), screen.Say{Text: treeUsage})
	}
	ref := object.Ref{Cluster: m.world.Clusters[0], Resource: r, Name: args[1]}
	switch {
	case !r.Namespaced:
	case len(args) > 2:
		ref.Namespace = args[2]
	case len(m.world.Namespaces) > 0:
		ref.Namespace = m.world.Namespaces[0]
	default:
		ref.Namespace = "default"
	}
	return screen.Show(screen.Tree{Ref: ref})
}
