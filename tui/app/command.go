package app

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/help"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/theme"
)

// command can be typed after ":". Every other word is the name of a resource.
type command struct {
	names []string
	help  string
	// arguments completes the first argument.
	arguments func(m *Model) []string
	run       func(m *Model, args []string) []screen.Request
}

// commands returns the commands in the order of the help.
func commands() []command {
	show := func(to screen.Destination) func(*Model, []string) []screen.Request {
		return func(*Model, []string) []screen.Request { return screen.Show(to) }
	}
	return []command{
		{[]string{"clusters", "hosts"}, "clusters on this host", nil, show(screen.Clusters{})},
		{[]string{"nodes", "node", "no", "machines"}, "nodes and machines", nil, show(screen.Nodes{})},
		{[]string{"workloads", "workload", "wk"}, "all workloads", namespaceNames, showWorkloads},
		{[]string{"pulse", "pulses"}, "cluster overview", nil, show(screen.Pulse{})},
		{[]string{"controlplane", "cp"}, "control plane status", clusterNames, controlPlane},
		{[]string{"forwards", "pf", "portforward"}, "forwarded ports", nil, show(screen.Forwards{})},
		{[]string{"addresses", "address", "addr"}, "addresses on this host", nil, show(screen.Addresses{})},
		{[]string{"logs", "log"}, "search stored logs", nil, searchLogs},
		{[]string{"tree", "xray"}, "ownership tree", resourceNames, showTree},
		{[]string{"ns", "namespace"}, "namespaces: a,b or all", namespaceNames, chooseNamespaces},
		{[]string{"ctx", "cluster", "context"}, "clusters: a,b", clusterNames, chooseClusters},
		{[]string{"resources", "aliases", "alias"}, "resources and names", nil, show(screen.Resources{})},
		{[]string{"theme", "skin"}, "change the theme", func(*Model) []string { return theme.Names() }, chooseTheme},
		{[]string{"output"}, "last command output", nil, lastOutput},
		{[]string{"skiff", "!"}, "run a skiff command", verbNames, skiffCommand},
		{[]string{"help", "h"}, "this screen", nil, show(screen.Help{})},
		{[]string{"quit", "q", "q!", "exit"}, "close the dashboard", nil, func(m *Model, _ []string) []screen.Request { m.quitting = true; return nil }},
	}
}

func commandHelp() []help.Entry {
	entries := []help.Entry{{Label: ":pods shop", Text: "any resource"}}
	for _, c := range commands() {
		entries = append(entries, help.Entry{Label: ":" + c.names[0], Text: c.help})
	}
	return entries
}

// runCommand runs a line that was typed after ":".
func (m *Model) runCommand(text string) tea.Cmd {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil
	}
	if n := len(m.history); n == 0 || m.history[n-1] != text {
		m.history = append(m.history, text)
	}
	name, args := words[0], words[1:]
	if full, ok := m.config.Settings.Aliases[name]; ok {
		words = append(strings.Fields(full), args...)
		name, args = words[0], words[1:]
	}
	for _, c := range commands() {
		if slices.Contains(c.names, name) {
			return m.requests(c.run(m, args))
		}
	}
	return m.requests(m.resource(name, args))
}

// resource opens the list of a resource: ":pods", ":pods kube-system", ":pods app=web",
// ":pods @ci", ":pods /web".
func (m *Model) resource(name string, args []string) []screen.Request {
	r, ok := m.world.Find(name)
	if !ok {
		if len(m.world.Clusters) == 0 {
			return screen.Failure("select a cluster first")
		}
		return m.unknown(name, "no command or resource", func() []screen.Request { return m.resource(name, args) })
	}
	narrow := screen.Narrow{}
	pattern := ""
	for _, a := range args {
		switch {
		case strings.HasPrefix(a, "/"):
			pattern = a[1:]
		case strings.HasPrefix(a, "@") && slices.Contains(m.world.Clusters, a[1:]):
			narrow.Cluster = a[1:]
		case strings.HasPrefix(a, "@"):
			return screen.Failure(fmt.Sprintf("cluster %q is not shown; select it with :ctx", a[1:]))
		case a == "-l":
		case strings.Contains(a, "="):
			pattern = "-l " + a
		default:
			narrow.Namespaces = namespacesOf(a)
		}
	}
	if !r.Namespaced {
		narrow.Namespaces = nil
	}
	return screen.Show(screen.Objects{Resource: r, Narrow: narrow, Filter: filter.Parse(pattern)})
}

// waiting is a command that names a resource before the resources of a cluster are known.
// It runs once they are, unless the user does something else first.
type waiting struct {
	text string // for the last line
	run  func() []screen.Request
}

// unknown answers a command that names a resource which is not known. It fails, or waits for
// a cluster whose resources are not known yet to call again.
func (m *Model) unknown(name, failure string, again func() []screen.Request) []screen.Request {
	for _, cluster := range m.world.Clusters {
		if len(m.world.Resources[cluster]) == 0 {
			m.notice = notice{}
			m.waiting = &waiting{fmt.Sprintf("waiting for the resources of %s to find %q …", cluster, name), again}
			return nil
		}
	}
	return screen.Failure(fmt.Sprintf("%s named %q", failure, name))
}

// searchLogs runs ":logs [POD]": it searches the stored logs of pods whose names begin with
// POD. Without POD, it opens the form for a search.
func searchLogs(m *Model, args []string) []screen.Request {
	if len(m.world.Clusters) == 0 {
		return screen.Failure("select a cluster first")
	}
	need := feed.StoredLogs{Cluster: m.world.Clusters[0], Namespaces: m.world.Namespaces}
	if len(args) == 0 {
		return kind.SearchLogs(need)
	}
	need.Pod = strings.TrimSuffix(args[0], "*") + "*"
	return kind.StoredLogs(need)
}

func showWorkloads(m *Model, args []string) []screen.Request {
	var namespaces []string
	if len(args) > 0 {
		namespaces = namespacesOf(args[0])
	}
	return screen.Show(screen.Workloads{Namespaces: namespaces})
}

// namespacesOf parses "shop,web" or "all".
func namespacesOf(text string) []string {
	if text == "all" || text == "-A" {
		return []string{}
	}
	return strings.Split(text, ",")
}

func controlPlane(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		args = m.world.Clusters
	}
	if len(args) == 0 {
		return screen.Failure("select a cluster first")
	}
	requests := screen.Show(screen.ControlPlane{Cluster: args[0]})
	if len(args) > 1 {
		requests = append(requests, screen.Say{Text: "for the others: :controlplane " + strings.Join(args[1:], ", :controlplane ")})
	}
	return requests
}

func chooseNamespaces(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		if r, ok := m.world.Find("namespaces"); ok {
			return screen.Show(screen.Objects{Resource: r})
		}
		return screen.Show(screen.Namespaces{})
	}
	return []screen.Request{screen.Choose{Namespaces: namespacesOf(strings.Join(args, ","))}}
}

func chooseClusters(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		return screen.Show(screen.Clusters{})
	}
	names := strings.Split(strings.Join(args, ","), ",")
	for _, name := range names {
		if _, ok := m.world.Hosts[name]; !ok && len(m.world.Hosts) > 0 && !slices.Contains(m.config.Clusters, name) {
			return screen.Failure(fmt.Sprintf("no cluster named %q", name))
		}
	}
	return []screen.Request{screen.Choose{Clusters: names}}
}

func chooseTheme(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		return screen.Message("themes: " + strings.Join(theme.Names(), ", "))
	}
	t := theme.Named(args[0])
	if t == nil {
		return screen.Failure(noTheme(args[0]).Error())
	}
	m.world.Theme = t
	m.config.Settings.Theme = t.Name
	m.remember()
	return nil
}

func lastOutput(m *Model, _ []string) []screen.Request {
	id, title := m.jobs.latest()
	if id == 0 {
		return screen.Message("no command has run yet")
	}
	return screen.Show(screen.Output{Job: id, Title: title})
}

func verbNames(m *Model) []string {
	var names []string
	for name, there := range m.world.Verbs {
		if there {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func namespaceNames(m *Model) []string {
	names := []string{"all"}
	for _, cluster := range m.world.Clusters {
		f := m.feeds[feed.Objects{Cluster: cluster, Resource: object.Namespaces}.Key()]
		if f == nil {
			continue
		}
		if t, ok := f.last.(object.Table); ok {
			for _, r := range t.Rows {
				names = append(names, r.Name)
			}
		}
	}
	return names
}

func clusterNames(m *Model) []string {
	var names []string
	for name := range m.world.Hosts {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func resourceNames(m *Model) []string {
	var names []string
	for _, cluster := range m.world.Clusters {
		for _, r := range m.world.Resources[cluster] {
			if r.Group == "" || !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			} else {
				names = append(names, r.ID())
			}
		}
	}
	return names
}
