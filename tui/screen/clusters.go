package screen

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Clusters shows the clusters of this host and what their machines take of it.
type Clusters struct {
	grid
	all    feed.Clusters
	memory map[string]widget.Series
	chosen map[string]bool
}

// NewClusters returns the screen.
func NewClusters(w *World) *Clusters {
	c := &Clusters{memory: map[string]widget.Series{}, chosen: map[string]bool{}, grid: newGrid(
		widget.Column{Title: "Cluster", Min: 12}, widget.Column{Title: "State"}, widget.Column{Title: "Nodes", Right: true},
		widget.Column{Title: "API"}, widget.Column{Title: "Kubernetes"}, widget.Column{Title: "Machines", Min: 8},
		widget.Column{Title: "Memory", Right: true}, widget.Column{Title: "Disk", Right: true}, widget.Column{Title: "Server", Spare: true},
	)}
	for _, name := range w.Clusters {
		c.chosen[name] = true
		c.table.Select(name)
	}
	return c
}

// Crumb is Screen's.
func (c *Clusters) Crumb() string { return "clusters" }

// Title is Screen's.
func (c *Clusters) Title() string {
	running := 0
	for _, s := range c.all.All {
		if s.Phase == "running" {
			running++
		}
	}
	return fmt.Sprintf("Clusters on this host  %d, %d running", len(c.all.All), running)
}

// Scopes is Screen's.
func (c *Clusters) Scopes() []keys.Scope { return []keys.Scope{keys.Clusters, keys.List} }

// Needs is Screen's.
func (c *Clusters) Needs() []feed.Need { return []feed.Need{feed.Host{}} }

// Freshness is Dated's.
func (c *Clusters) Freshness() object.Freshness { return c.all.Freshness }

// Take is Screen's.
func (c *Clusters) Take(_ *World, delivery any) {
	d, ok := delivery.(feed.Clusters)
	if !ok {
		return
	}
	c.all = d
	for _, s := range d.All {
		memory, _ := taken(s)
		c.memory[s.Name] = c.memory[s.Name].Add(float64(memory))
	}
	c.refresh()
}

// taken is what the machines of a cluster take of the host.
func taken(s daemonapi.ClusterStatus) (memoryMiB int, diskBytes int64) {
	for _, n := range s.Nodes {
		memoryMiB += n.HostMemoryMiB
		diskBytes += n.DiskUsedBytes
	}
	return memoryMiB, diskBytes
}

func readyNodes(s daemonapi.ClusterStatus) string {
	ready := 0
	for _, n := range s.Nodes {
		if n.Ready == "True" && n.Machine == "running" {
			ready++
		}
	}
	return fmt.Sprintf("%d/%d", ready, len(s.Nodes))
}

// resting says that nothing of a cluster runs, as is wanted.
func resting(s daemonapi.ClusterStatus) bool { return s.Phase == "stopped" || s.Phase == "paused" }

// nodesCell says how many nodes are ready; of a cluster that rests none has to
// be.
func nodesCell(s daemonapi.ClusterStatus) cell {
	if resting(s) {
		return dimCell(readyNodes(s))
	}
	return cell{readyNodes(s), parts(readyNodes(s))}
}

// sizeCell is a size, or a dash where nobody knows it.
func sizeCell(size int64) cell {
	if size == 0 {
		return dimCell("-")
	}
	return plainCell(bytes(size))
}

func (c *Clusters) refresh() {
	var lines []gridLine
	for i, s := range c.all.All {
		memory, disk := taken(s)
		api := cell{"not ready", theme.Warn}
		switch {
		case s.APIReady:
			api = cell{"ready", theme.Good}
		case resting(s):
			api = dimCell("-")
		}
		name := "  " + s.Name
		if c.chosen[s.Name] {
			name = "● " + s.Name
		}
		lines = append(lines, gridLine{key: s.Name, at: i, cells: []cell{
			{name, theme.Accent}, stateCell(s.Phase), nodesCell(s), api, plainCell(s.Kubernetes),
			plainCell(machines(s)), sizeCell(int64(memory) << 20), sizeCell(disk), dimCell(s.Server),
		}})
	}
	c.set(lines)
}

// machines says what runs them, and how.
func machines(s daemonapi.ClusterStatus) string {
	how, _, _ := strings.Cut(s.Accelerator, ":")
	how, _, _ = strings.Cut(how, "(")
	how = strings.TrimSpace(how)
	if s.Driver == "" || strings.Contains(how, s.Driver) {
		return how
	}
	return strings.TrimSuffix(s.Driver+", "+how, ", ")
}

// Act is Screen's.
func (c *Clusters) Act(w *World, a keys.Action) []Request {
	if scroll(c.table, a) {
		return nil
	}
	if a == keys.Create {
		return createForm()
	}
	at := c.at()
	if at < 0 || at >= len(c.all.All) {
		return nil
	}
	s := c.all.All[at]
	switch a {
	case keys.Mark:
		c.chosen[s.Name] = !c.chosen[s.Name]
		c.refresh()
		c.table.Move(1)
	case keys.Enter:
		return c.enter(w, s)
	case keys.Copy:
		return []Request{CopyText{What: s.Name, Text: s.Name}}
	default:
		return clusterVerb(a, s)
	}
	return nil
}

// enter shows the chosen clusters together, or the one under the cursor.
func (c *Clusters) enter(w *World, s daemonapi.ClusterStatus) []Request {
	names := []string{}
	for _, known := range c.all.All {
		if c.chosen[known.Name] {
			names = append(names, known.Name)
		}
	}
	if !slices.Contains(names, s.Name) || len(names) < 2 {
		names = []string{s.Name}
		c.chosen = map[string]bool{s.Name: true}
		c.refresh()
	}
	narrowed := *w
	narrowed.Clusters = names
	return []Request{Choose{Clusters: names}, Push{Screen: NewNodes(&narrowed)}}
}

// usualDriver leaves it to skiff up which driver runs the machines.
const usualDriver = "auto"

func createForm() []Request {
	form := widget.NewForm("Create cluster", []widget.Field{
		{Name: "name", Label: "Name", Value: "dev", Hint: "lower-case letters, digits and dashes"},
		{Name: "control-planes", Label: "Control planes", Value: "1", Choices: []string{"1", "3"}, Hint: "← → to choose; 3 tolerate the loss of one"},
		{Name: "workers", Label: "Workers", Value: "2"},
		{Name: "driver", Label: "Driver", Value: usualDriver, Choices: []string{usualDriver, "lima", "sandbox"}, Hint: "lima: virtual machines; sandbox: namespaces on this host (Linux, root)"},
		{Name: "cpus", Label: "CPUs per node", Value: "2"},
		{Name: "memory", Label: "Memory per node", Value: "2Gi"},
		{Name: "disk", Label: "Disk per node", Value: "20Gi", Hint: "allocated as it fills up; ⏎ creates the cluster"},
	})
	return []Request{Fill{Form: form, Then: func(v map[string]string) []Request {
		command := []string{"up", v["name"]}
		for _, name := range []string{"control-planes", "workers", "cpus", "memory", "disk"} {
			command = append(command, "--"+name, v[name])
		}
		if v["driver"] != usualDriver {
			command = append(command, "--driver", v["driver"])
		}
		return skiff(v["name"], command...)
	}}}
}

// skiff runs a command of ours.
func skiff(cluster string, command ...string) []Request {
	return []Request{Do{Cluster: cluster, Task: feed.Task{Verb: feed.VerbSkiff, Command: command}}}
}

// clusterVerb answers the actions that are commands of skiff's own.
func clusterVerb(a keys.Action, s daemonapi.ClusterStatus) []Request {
	switch a {
	case keys.Start:
		return skiff(s.Name, "up", s.Name)
	case keys.Stop:
		return []Request{Ask{
			Title: "Stop cluster " + s.Name + "?", Lines: []string{count(len(s.Nodes), "machine is", "machines are") + " shut down. Disks are kept; u starts the cluster again."},
			Then: skiff(s.Name, "stop", s.Name),
		}}
	case keys.Pause:
		return []Request{Ask{
			Title: "Pause cluster " + s.Name + "?", Lines: []string{count(len(s.Nodes), "machine is", "machines are") + " frozen, and the API does not answer.", "Memory is kept; r resumes the cluster."},
			Then: skiff(s.Name, "pause", s.Name),
		}}
	case keys.Resume:
		return skiff(s.Name, "resume", s.Name)
	case keys.Delete:
		memory, disk := taken(s)
		lines := []string{
			"This cannot be undone. Deleted are:", "",
			"  " + count(len(s.Nodes), "machine", "machines") + " and " + bytes(disk) + " of disks",
			"  all workloads, images and volumes", "  its certificates and kubeconfig entries", "",
			bytes(int64(memory)<<20) + " of memory is freed.",
		}
		return []Request{Ask{Title: "Delete cluster " + s.Name + "?", Lines: lines, Word: s.Name, Then: skiff(s.Name, "down", s.Name)}}
	case keys.Snapshot:
		return snapshot(s.Name)
	case keys.LoadImage:
		return loadImage(s.Name)
	}
	return nil
}

func loadImage(cluster string) []Request {
	form := widget.NewForm("Load image into "+cluster, []widget.Field{
		{Name: "image", Label: "Image", Hint: "archive from docker save, or an image name known to the container engine on this host"},
	})
	return []Request{Fill{Form: form, Then: func(v map[string]string) []Request {
		if v["image"] == "" {
			return say("image must not be empty")
		}
		return skiff(cluster, "image", "load", v["image"], "--cluster", cluster)
	}}}
}

func snapshot(cluster string) []Request {
	form := widget.NewForm("Snapshot "+cluster, []widget.Field{
		{Name: "file", Label: "File", Value: cluster + ".db", Hint: "restore it with \"skiff etcd restore\""},
	})
	return []Request{Fill{Form: form, Then: func(v map[string]string) []Request {
		return skiff(cluster, "etcd", "snapshot", v["file"], "--cluster", cluster)
	}}}
}

// View is Screen's: the clusters, and below them the one under the cursor.
func (c *Clusters) View(w *World, width, height int) []string {
	at := c.at()
	if at < 0 || at >= len(c.all.All) {
		lines := c.table.View(w.Theme, width, height)
		text := "no clusters found; press + to create one"
		if c.all.State == object.Loading {
			text = loading
		}
		return append(lines, "", w.Theme.Paint(theme.Dim, "  "+text))
	}
	details := c.details(w, c.all.All[at], width)
	room := height - len(details)
	if room < 6 {
		return c.table.View(w.Theme, width, height)
	}
	lines := c.table.View(w.Theme, width, min(room, len(c.lines)+2))
	return append(widget.Box(lines, width, min(room, len(c.lines)+2)), details...)
}

func (c *Clusters) details(w *World, s daemonapi.ClusterStatus, width int) []string {
	th := w.Theme
	facts := []fact{{"server", s.Server, theme.Plain}, {"machines", cmp.Or(s.Accelerator, s.Driver), theme.Plain}, {"last up", timings(s.Timings), theme.Plain}}
	for _, problem := range s.Problems {
		facts = append(facts, fact{"problem", problem, theme.Bad})
	}
	facts = slices.DeleteFunc(facts, func(f fact) bool { return f.value == "" })
	var lines []string
	for _, l := range draw(th, facts, width-2) {
		lines = append(lines, "  "+l)
	}
	if memory, _ := taken(s); memory > 0 {
		lines = append(lines, "  "+th.Paint(theme.Dim, widget.Fit("memory", indent))+widget.Fit(bytes(int64(memory)<<20), 8)+
			th.Paint(theme.Busy, widget.Spark(c.memory[s.Name], min(60, width-30), 0)))
	}
	lines = append(lines, "")
	for _, n := range s.Nodes {
		lines = append(lines, "  "+machineLine(th, n, w))
	}
	return panel(th, s.Name, width, lines...)
}

func timings(seconds map[string]float64) string {
	var names []string
	for name := range seconds {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return seconds[names[i]] > seconds[names[j]] })
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s %.1f s", name, seconds[name]))
	}
	return strings.Join(out, ", ")
}

func machineLine(th *theme.Theme, n daemonapi.NodeStatus, w *World) string {
	up := ""
	if n.Machine == "running" {
		up = "  up " + object.Age(n.Started, w.Now)
	}
	state := n.Condition()
	return th.Paint(toneOf(state), "● ") + th.Paint(theme.Accent, widget.Fit(n.Name, 16)) + th.Paint(toneOf(state), widget.Fit(state, 15)) +
		widget.Fit(n.Address, 15) + widget.FitRight(fmt.Sprintf("%d CPUs", n.CPUs), 7) + widget.FitRight(bytes(int64(n.MemoryMiB)<<20), 7) +
		widget.FitRight(bytes(n.DiskUsedBytes), 7) + th.Paint(theme.Dim, up) + th.Paint(theme.Warn, strings.TrimRight("  "+n.MachineMessage, " "))
}
