// Package tree is the screen that shows an object, its owners and what it owns,
// down to the containers.
package tree

import (
	"slices"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen shows the ownership tree of an object.
type Screen struct {
	grid.Grid
	ref       object.Ref
	branches  feed.Ownership
	nodes     []node
	collapsed map[string]bool // by the node's key
	found     bool            // the cursor has been put on ref
}

type node struct {
	branch feed.TreeNode
	key    string
	prefix string // lines of the tree before the node
}

// New returns the screen of an object's tree.
func New(ref object.Ref) *Screen {
	return &Screen{ref: ref, collapsed: map[string]bool{}, Grid: grid.New(
		widget.Column{Title: "Object", Min: 20}, widget.Column{Title: "Status", Min: 12}, widget.Column{Title: "Namespace", Min: 8},
	)}
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "tree " + s.ref.Name }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	return "Tree of " + s.ref.String() + "  " + format.Count(len(s.nodes), "object", "objects")
}

// Scopes implements screen.Screen. The scopes depend on the kind under the
// cursor.
func (s *Screen) Scopes() []keys.Scope {
	scopes := []keys.Scope{keys.Tree}
	if at := s.At(); at >= 0 && s.nodes[at].branch.Container != "" {
		scopes = append(scopes, keys.Containers)
	} else if at >= 0 {
		scopes = append(scopes, kind.Of(s.nodes[at].branch.Ref.Resource).Scopes...)
	}
	return append(scopes, keys.Objects, keys.List)
}

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need { return []feed.Need{feed.Tree{Ref: s.ref}} }

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness { return s.branches.Freshness }

// Take implements screen.Screen.
func (s *Screen) Take(_ *screen.World, delivery any) {
	if d, ok := delivery.(feed.Ownership); ok {
		s.branches = d
		s.refresh()
	}
}

// Current returns the object under the cursor.
func (s *Screen) Current() (object.Ref, bool) {
	at := s.At()
	if at < 0 || at >= len(s.nodes) {
		return object.Ref{}, false
	}
	return s.nodes[at].branch.Ref, true
}

func (s *Screen) refresh() {
	s.nodes = s.nodes[:0]
	if s.branches.Root.Ref.Name != "" {
		s.walk(s.branches.Root, "", "", "")
	}
	var lines []grid.Line
	for i, n := range s.nodes {
		lines = append(lines, s.line(i, n))
	}
	s.Set(lines)
	isRef := func(n node) bool { return n.branch.Container == "" && n.branch.Ref.String() == s.ref.String() }
	if i := slices.IndexFunc(s.nodes, isRef); i >= 0 && !s.found {
		s.Table.Select(s.nodes[i].key)
		s.found = true
	}
}

// walk appends a branch and the branches below it. The prefix own is drawn
// before the branch itself, and below before its children.
func (s *Screen) walk(b feed.TreeNode, path, own, below string) {
	key := path + "/" + b.Ref.Resource.ID() + "/" + b.Ref.Name + "/" + b.Container
	s.nodes = append(s.nodes, node{branch: b, key: key, prefix: own})
	if s.collapsed[key] {
		return
	}
	for i, child := range b.Children {
		if i == len(b.Children)-1 {
			s.walk(child, key, below+"└─ ", below+"   ")
		} else {
			s.walk(child, key, below+"├─ ", below+"│  ")
		}
	}
}

func (s *Screen) line(i int, n node) grid.Line {
	b := n.branch
	name := b.Container
	if b.Container == "" {
		name = b.Ref.Resource.Kind + " " + b.Ref.Name
	}
	if s.collapsed[n.key] {
		name += " …"
	}
	mark, tone := "● ", theme.Good
	if !b.Healthy {
		mark, tone = "○ ", theme.Warn
		if known := format.StateTone(b.Status); known != theme.Plain {
			tone = known
		}
	}
	if b.Status == "Succeeded" {
		tone = theme.Dim
	}
	return grid.Line{Key: n.key, At: i, Cells: []grid.Cell{
		{Text: n.prefix + mark + name, Tone: tone}, {Text: b.Status, Tone: tone}, grid.Dim(b.Ref.Namespace),
	}}
}

// Act implements screen.Screen.
func (s *Screen) Act(w *screen.World, a keys.Action) []screen.Request {
	at := s.At()
	if s.Table.Act(a) || at < 0 {
		return nil
	}
	n := s.nodes[at]
	ref := n.branch.Ref
	switch {
	case a == keys.Toggle:
		if len(n.branch.Children) > 0 {
			s.collapsed[n.key] = !s.collapsed[n.key]
			s.refresh()
		}
		return nil
	case n.branch.Container != "":
		return kind.ActOnContainer(w, a, ref, n.branch.Container)
	case a == keys.Enter:
		return screen.Show(screen.Text(ref, feed.Description))
	}
	return kind.Act(w, a, kind.On(ref))
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	return s.Grid.View(w, width, height, s.branches.Freshness, "no objects found")
}
