package app

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/screen"
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
	push := func(s func(m *Model) screen.Screen) func(*Model, []string) []screen.Request {
		return func(m *Model, _ []string) []screen.Request { return []screen.Request{screen.Push{Screen: s(m)}} }
	}
	return []command{
		{[]string{"clusters", "hosts"}, "clusters on this host", nil, push(func(m *Model) screen.Screen { return screen.NewClusters(&m.world) })},
		{[]string{"nodes", "node", "no", "machines"}, "nodes and their machines", nil, push(func(m *Model) screen.Screen { return screen.NewNodes(&m.world) })},
		{[]string{"workloads", "workload", "wk"}, "all workloads in one table", namespaceNames, workloads},
		{[]string{"pulse", "pulses"}, "cluster overview", nil, push(func(m *Model) screen.Screen { return screen.NewPulse(&m.world) })},
		{[]string{"controlplane", "cp"}, "control plane status", clusterNames, controlPlane},
		{[]string{"forwards", "pf", "portforward"}, "forwarded ports", nil, push(func(*Model) screen.Screen { return screen.NewForwards() })},
		{[]string{"tree", "xray"}, "ownership tree of this, or of KIND NAME", resourceNames, tree},
		{[]string{"ns", "namespace"}, "choose namespaces: a,b or all", namespaceNames, chooseNamespaces},
		{[]string{"ctx", "cluster", "context"}, "choose clusters: a,b", clusterNames, chooseClusters},
		{[]string{"resources", "aliases", "alias"}, "resources and their short names", nil, push(func(m *Model) screen.Screen {
			return screen.NewResources(&m.world, m.config.Settings.Aliases)
		})},
		{[]string{"theme", "skin"}, "change the theme", func(*Model) []string { return theme.Names() }, chooseTheme},
		{[]string{"output"}, "output of the last command", nil, lastOutput},
		{[]string{"skiff", "!"}, "run a skiff command", verbNames, skiffCommand},
		{[]string{"help", "h"}, "keys of this screen", nil, push(func(m *Model) screen.Screen { return screen.NewHelp(m.top(), commandHelp()) })},
		{[]string{"quit", "q", "q!", "exit"}, "close the dashboard", nil, func(m *Model, _ []string) []screen.Request { m.quitting = true; return nil }},
	}
}

func commandHelp() [][2]string {
	help := [][2]string{{":pods shop", "a resource, by name or short name"}}
	for _, c := range commands() {
		help = append(help, [2]string{":" + c.names[0], c.help})
	}
	return help
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
			return []screen.Request{screen.Say{Text: "choose a cluster first", Bad: true}}
		}
		return []screen.Request{screen.Say{Text: fmt.Sprintf("no command or resource named %q", name), Bad: true}}
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
			return []screen.Request{screen.Say{Text: fmt.Sprintf("cluster %q is not shown; choose it with :ctx", a[1:]), Bad: true}}
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
	s := screen.NewObjects(&m.world, r, narrow)
	if pattern != "" {
		s.SetFilter(&m.world, filter.Parse(pattern))
	}
	return []screen.Request{screen.Push{Screen: s}}
}

func workloads(m *Model, args []string) []screen.Request {
	var namespaces []string
	if len(args) > 0 {
		namespaces = namespacesOf(args[0])
	}
	return []screen.Request{screen.Push{Screen: screen.NewWorkloads(&m.world, namespaces)}}
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
		return []screen.Request{screen.Say{Text: "choose a cluster first", Bad: true}}
	}
	requests := []screen.Request{screen.Push{Screen: screen.NewControl(args[0])}}
	if len(args) > 1 {
		requests = append(requests, screen.Say{Text: "for the others: :controlplane " + strings.Join(args[1:], ", :controlplane ")})
	}
	return requests
}

func chooseNamespaces(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		if r, ok := m.world.Find("namespaces"); ok {
			return []screen.Request{screen.Push{Screen: screen.NewObjects(&m.world, r, screen.Narrow{})}}
		}
		return []screen.Request{screen.Push{Screen: screen.NewNamespaces(&m.world)}}
	}
	return []screen.Request{screen.Choose{Namespaces: namespacesOf(strings.Join(args, ","))}}
}

func chooseClusters(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		return []screen.Request{screen.Push{Screen: screen.NewClusters(&m.world)}}
	}
	names := strings.Split(strings.Join(args, ","), ",")
	for _, name := range names {
		if _, ok := m.world.Hosts[name]; !ok && len(m.world.Hosts) > 0 && !slices.Contains(m.config.Clusters, name) {
			return []screen.Request{screen.Say{Text: fmt.Sprintf("no cluster named %q", name), Bad: true}}
		}
	}
	return []screen.Request{screen.Choose{Clusters: names}}
}

func chooseTheme(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		return []screen.Request{screen.Say{Text: "themes: " + strings.Join(theme.Names(), ", ")}}
	}
	t := theme.Named(args[0])
	if t == nil {
		return []screen.Request{screen.Say{Text: noTheme(args[0]).Error(), Bad: true}}
	}
	m.world.Theme = t
	m.config.Settings.Theme = t.Name
	m.remember()
	return nil
}

func lastOutput(m *Model, _ []string) []screen.Request {
	id, title := m.jobs.latest()
	if id == 0 {
		return []screen.Request{screen.Say{Text: "no command has run yet"}}
	}
	return []screen.Request{screen.Push{Screen: screen.NewOutput(id, title)}}
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
