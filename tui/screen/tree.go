package screen

import (
	"slices"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Tree shows an object, what owns it and what it owns, down to the containers.
type Tree struct {
	grid
	ref      object.Ref
	branches feed.Ownership
	nodes    []treeNode
	closed   map[string]bool
	found    bool // the cursor was put on ref
}

type treeNode struct {
	branch feed.TreeNode
	key    string
	prefix string
}

// NewTree returns the screen of an object's tree.
func NewTree(ref object.Ref) *Tree {
	return &Tree{ref: ref, closed: map[string]bool{}, grid: newGrid(
		widget.Column{Title: "Object", Min: 20}, widget.Column{Title: "Status", Min: 12}, widget.Column{Title: "Namespace", Min: 8},
	)}
}

// Crumb is Screen's.
func (t *Tree) Crumb() string {
	return "tree " + t.ref.Name
}

// Title is Screen's.
func (t *Tree) Title() string {
	return "Tree of " + t.ref.String() + "  " + count(len(t.nodes), "object", "objects")
}

// Scopes is Screen's: they are those of what is under the cursor.
func (t *Tree) Scopes() []keys.Scope {
	scopes := []keys.Scope{keys.Tree}
	if at := t.at(); at >= 0 && t.nodes[at].branch.Container != "" {
		scopes = append(scopes, keys.Containers)
	} else if at >= 0 {
		scopes = append(scopes, scopesOf(t.nodes[at].branch.Ref.Resource)...)
	}
	return append(scopes, keys.Objects, keys.List)
}

// Needs is Screen's.
func (t *Tree) Needs() []feed.Need { return []feed.Need{feed.Tree{Ref: t.ref}} }

// Freshness is Dated's.
func (t *Tree) Freshness() object.Freshness { return t.branches.Freshness }

// Take is Screen's.
func (t *Tree) Take(_ *World, delivery any) {
	if d, ok := delivery.(feed.Ownership); ok {
		t.branches = d
		t.refresh()
	}
}

// Current is the object under the cursor.
func (t *Tree) Current() (object.Ref, bool) {
	at := t.at()
	if at < 0 || at >= len(t.nodes) {
		return object.Ref{}, false
	}
	return t.nodes[at].branch.Ref, true
}

func (t *Tree) refresh() {
	t.nodes = t.nodes[:0]
	if t.branches.Root.Ref.Name != "" {
		t.walk(t.branches.Root, "", "", "")
	}
	var lines []gridLine
	for i, n := range t.nodes {
		lines = append(lines, t.line(i, n))
	}
	t.set(lines)
	if i := slices.IndexFunc(t.nodes, func(n treeNode) bool { return n.branch.Container == "" && n.branch.Ref.String() == t.ref.String() }); i >= 0 && !t.found {
		t.table.Select(t.nodes[i].key)
		t.found = true
	}
}

// walk lays the branches out; own is drawn before the branch, rest before what
// is below it.
func (t *Tree) walk(b feed.TreeNode, path, own, rest string) {
	key := path + "/" + b.Ref.Resource.ID() + "/" + b.Ref.Name + "/" + b.Container
	t.nodes = append(t.nodes, treeNode{branch: b, key: key, prefix: own})
	if t.closed[key] {
		return
	}
	for i, below := range b.Children {
		if i == len(b.Children)-1 {
			t.walk(below, key, rest+"└─ ", rest+"   ")
		} else {
			t.walk(below, key, rest+"├─ ", rest+"│  ")
		}
	}
}

func (t *Tree) line(i int, n treeNode) gridLine {
	b := n.branch
	name := b.Container
	if b.Container == "" {
		name = b.Ref.Resource.Kind + " " + b.Ref.Name
	}
	if t.closed[n.key] {
		name += " …"
	}
	mark, tone := "● ", theme.Good
	if !b.Healthy {
		mark, tone = "○ ", theme.Warn
		if named := toneOf(b.Status); named != theme.Plain {
			tone = named
		}
	}
	if b.Status == "Succeeded" {
		tone = theme.Dim
	}
	return gridLine{key: n.key, at: i, cells: []cell{
		{n.prefix + mark + name, tone}, {b.Status, tone}, dimCell(b.Ref.Namespace),
	}}
}

// Act is Screen's.
func (t *Tree) Act(w *World, a keys.Action) []Request {
	if scroll(t.table, a) {
		return nil
	}
	at := t.at()
	if at < 0 {
		return nil
	}
	n := t.nodes[at]
	if a == keys.Toggle {
		if len(n.branch.Children) > 0 {
			t.closed[n.key] = !t.closed[n.key]
			t.refresh()
		}
		return nil
	}
	ref := n.branch.Ref
	if n.branch.Container != "" {
		return inside(w, a, ref, n.branch.Container)
	}
	if a == keys.Enter {
		return []Request{Push{Screen: NewDocument(ref, feed.Description)}}
	}
	return act(w, a, aim{ref: ref, uid: n.branch.UID, refs: []object.Ref{ref}})
}

// View is Screen's.
func (t *Tree) View(w *World, width, height int) []string {
	lines := t.table.View(w.Theme, width, height)
	if len(t.lines) > 0 {
		return lines
	}
	text := loading
	switch {
	case t.branches.Problem != "":
		text = t.branches.Problem
	case t.branches.State == object.Live && len(t.grid.all) == 0:
		text = "no objects found"
	case len(t.grid.all) > 0:
		text = noMatch
	}
	return append(lines, "", w.Theme.Paint(theme.Dim, "  "+text))
}
