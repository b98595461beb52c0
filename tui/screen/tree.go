package screen

import (
	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Tree shows an object, what owns it and what it owns, down to the containers.
// Containers of a pod are such a tree without its upper part.
type Tree struct {
	grid
	ref      object.Ref
	pod      bool // only the containers of ref
	branches feed.Branches
	nodes    []treeNode
	closed   map[string]bool
}

type treeNode struct {
	branch feed.Branch
	key    string
	prefix string
}

// NewTree returns the screen of an object's tree.
func NewTree(ref object.Ref) *Tree {
	return &Tree{ref: ref, closed: map[string]bool{}, grid: newGrid(
		widget.Column{Title: "Object", Min: 20}, widget.Column{Title: "Status", Min: 12}, widget.Column{Title: "Namespace", Min: 8},
	)}
}

// NewContainers returns the screen of a pod's containers.
func NewContainers(pod object.Ref) *Tree {
	return &Tree{ref: pod, pod: true, closed: map[string]bool{}, grid: newGrid(
		widget.Column{Title: "Container", Min: 20}, widget.Column{Title: "Status", Min: 12},
	)}
}

// Crumb is Screen's.
func (t *Tree) Crumb() string {
	if t.pod {
		return t.ref.Name
	}
	return "tree " + t.ref.Name
}

// Title is Screen's.
func (t *Tree) Title() string {
	if t.pod {
		return "Containers of " + t.ref.String() + "  " + count(len(t.nodes), "container", "containers")
	}
	return "Tree of " + t.ref.String() + "  " + count(len(t.nodes), "line", "lines")
}

// Scopes is Screen's.
func (t *Tree) Scopes() []keys.Scope {
	if t.pod {
		return []keys.Scope{keys.Containers, keys.Tree, keys.List}
	}
	return []keys.Scope{keys.Tree, keys.List}
}

// Needs is Screen's.
func (t *Tree) Needs() []feed.Need { return []feed.Need{feed.Family{Ref: t.ref}} }

// Freshness is Dated's.
func (t *Tree) Freshness() object.Freshness { return t.branches.Freshness }

// Take is Screen's.
func (t *Tree) Take(_ *World, delivery any) {
	if d, ok := delivery.(feed.Branches); ok {
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
	if t.pod {
		return t.ref, true
	}
	return t.nodes[at].branch.Ref, true
}

// SetFilter is Filtered's.
func (t *Tree) SetFilter(_ *World, f filter.Filter) {
	t.filter = f
	t.refresh()
}

func (t *Tree) refresh() {
	t.nodes = t.nodes[:0]
	if t.pod {
		if pod, ok := findPod(t.branches.Root, t.ref); ok {
			for _, b := range pod.Below {
				t.nodes = append(t.nodes, treeNode{branch: b, key: b.Container})
			}
		}
	} else if t.branches.Root.Ref.Name != "" {
		t.walk(t.branches.Root, "", "", "")
	}
	var lines []gridLine
	for i, n := range t.nodes {
		lines = append(lines, t.line(i, n))
	}
	t.set(lines)
}

func findPod(b feed.Branch, ref object.Ref) (feed.Branch, bool) {
	if b.Container == "" && b.Ref.Resource.ID() == "pods" && b.Ref.Name == ref.Name {
		return b, true
	}
	for _, below := range b.Below {
		if pod, ok := findPod(below, ref); ok {
			return pod, true
		}
	}
	return feed.Branch{}, false
}

// walk lays the branches out; own is drawn before the branch, rest before what
// is below it.
func (t *Tree) walk(b feed.Branch, path, own, rest string) {
	key := path + "/" + b.Ref.Resource.ID() + "/" + b.Ref.Name + "/" + b.Container
	t.nodes = append(t.nodes, treeNode{branch: b, key: key, prefix: own})
	if t.closed[key] {
		return
	}
	for i, below := range b.Below {
		if i == len(b.Below)-1 {
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

// Click is Pointed's.
func (t *Tree) Click(w *World, x, y int, double bool) []Request {
	if t.table.Click(y-1) && double {
		return t.Act(w, keys.Enter)
	}
	return nil
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
	ref := n.branch.Ref
	if t.pod {
		ref = t.ref
	}
	switch a {
	case keys.Toggle:
		if len(n.branch.Below) > 0 {
			t.closed[n.key] = !t.closed[n.key]
			t.refresh()
		}
	case keys.Enter:
		if n.branch.Container != "" {
			return containerLogs(ref, n.branch.Container, false)
		}
		return []Request{Push{Screen: NewDocument(ref, feed.Description)}}
	case keys.Describe:
		return []Request{Push{Screen: NewDocument(ref, feed.Description)}}
	case keys.YAML:
		return []Request{Push{Screen: NewDocument(ref, feed.YAML)}}
	case keys.ShowLogs, keys.Previous:
		if n.branch.Container != "" {
			return containerLogs(ref, n.branch.Container, a == keys.Previous)
		}
		return logsOf(ref, a == keys.Previous)
	case keys.Shell:
		return []Request{do(ref, feed.VerbShell, map[string]string{"container": n.branch.Container})}
	case keys.Attach:
		return []Request{do(ref, feed.VerbAttach, map[string]string{"container": n.branch.Container})}
	case keys.Copy:
		name := ref.Name
		if n.branch.Container != "" {
			name = n.branch.Container
		}
		return []Request{CopyText{What: name, Text: name}}
	}
	return nil
}

func containerLogs(pod object.Ref, container string, previous bool) []Request {
	return []Request{Push{Screen: NewLogs(pod, feed.Logs{
		Cluster: pod.Cluster, Pods: []feed.PodName{{Namespace: pod.Namespace, Name: pod.Name}}, Container: container, Previous: previous, Tail: tail,
	})}}
}

// View is Screen's.
func (t *Tree) View(w *World, width, height int) []string {
	lines := t.table.View(w.Theme, width, height)
	if len(t.lines) > 0 {
		return lines
	}
	text := "reading …"
	switch {
	case t.branches.Problem != "":
		text = t.branches.Problem
	case t.branches.State == object.Live && t.all == 0:
		text = "there are none"
	case t.all > 0:
		text = "nothing matches; esc clears the filter"
	}
	return append(lines, "", w.Theme.Paint(theme.Dim, "  "+text))
}
