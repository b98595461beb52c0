// Package kind holds what the dashboard knows about each kind of Kubernetes
// object: aliases, keys, columns, where ⏎ leads, and what a deletion loses. All
// of it is in one table. A kind that is missing from the table works with the
// server's columns and the actions that all objects have.
package kind

import (
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
)

// Kind describes the objects of one resource.
type Kind struct {
	Resource object.Resource
	// Aliases are names that the API server does not know.
	Aliases []string
	// Scopes are the key scopes in addition to those of all objects.
	Scopes []keys.Scope
	// Enter answers ⏎. The default shows the description.
	Enter func(w *screen.World, at Aim) []screen.Request
	// Card gives the resource a card on the pulse screen.
	Card bool
	// Workload is set for kinds that run pods.
	Workload *Workload
	// Columns adjusts the server's columns.
	Columns Columns
	// Deletion describes what a deletion loses.
	Deletion Deletion
}

// Columns adjusts the columns of a table.
type Columns struct {
	// Sort is the title of the column that is sorted by at first.
	Sort string
	// Shown are columns that the server considers wide, but which are always shown.
	Shown []string
	// Hidden are columns that are never shown.
	Hidden []string
	// Usage adds columns for CPU and memory usage.
	Usage bool
	// Addresses adds columns for the addresses on this host.
	Addresses bool
}

// Workload tells how to read the state of a workload from its row.
type Workload struct {
	// Ready returns "READY/DESIRED", or "-" if the kind has no such number.
	Ready func(object.Table, *object.Row) string
	// Status returns a word, or "" to derive it from Ready.
	Status func(object.Table, *object.Row) string
}

// Deletion describes what is lost when objects are deleted.
type Deletion struct {
	// One and Many describe the loss for one and for several objects.
	One, Many string
	// Counted reads the facts of a single object before asking.
	Counted bool
	// Typed requires the name to be typed.
	Typed bool
}

// columnOf returns a function that reads one column.
func columnOf(name string) func(object.Table, *object.Row) string {
	return func(t object.Table, r *object.Row) string { return t.Cell(r, name) }
}

// withPods is the deletion of an object that owns pods.
var withPods = Deletion{One: "Its pods are deleted too.", Many: "Their pods are deleted too.", Counted: true}

// onVolume is the deletion of an object that holds data.
var onVolume = Deletion{One: "The data on the volume may be deleted too.", Many: "The data on the volumes may be deleted too.", Counted: true}

// inPods is the deletion of an object that pods read.
var inPods = Deletion{One: "Pods that use it can no longer start.", Many: "Pods that use them can no longer start."}

// other is the deletion of an object of any other kind.
var other = Deletion{One: "Everything it owns is deleted too.", Many: "Everything they own is deleted too."}

// kinds is the table. Its order is that of the cards and of the workloads.
var kinds = []Kind{
	{Resource: object.Nodes, Card: true, Enter: podsOnNode, Deletion: Deletion{
		One: "Its pods are deleted too.", Many: "Their pods are deleted too. The machines keep running.", Counted: true, Typed: true,
	}},
	{Resource: object.Pods, Card: true, Scopes: []keys.Scope{keys.Pods}, Enter: containers,
		Columns:  Columns{Shown: []string{"IP", "Node"}, Usage: true},
		Deletion: Deletion{One: "A pod that has an owner is replaced; one without is gone.", Many: "Pods that have an owner are replaced; those without are gone."}},
	{Resource: object.Deployments, Aliases: []string{"dp"}, Card: true, Scopes: []keys.Scope{keys.Scalable, keys.Rollout, keys.Selecting}, Enter: podsOf,
		Workload: &Workload{Ready: columnOf("Ready")}, Deletion: withPods},
	{Resource: object.StatefulSets, Card: true, Scopes: []keys.Scope{keys.Scalable, keys.Rollout, keys.Selecting}, Enter: podsOf,
		Workload: &Workload{Ready: columnOf("Ready")}, Deletion: withPods},
	{Resource: object.DaemonSets, Card: true, Scopes: []keys.Scope{keys.Rollout, keys.Selecting}, Enter: podsOf,
		Workload: &Workload{Ready: func(t object.Table, r *object.Row) string { return t.Cell(r, "Ready") + "/" + t.Cell(r, "Desired") }},
		Deletion: withPods},
	{Resource: object.Jobs, Aliases: []string{"jo"}, Card: true, Scopes: []keys.Scope{keys.Selecting}, Enter: podsOf,
		Workload: &Workload{Ready: columnOf("Completions"), Status: columnOf("Status")}, Deletion: withPods},
	{Resource: object.CronJobs, Card: true, Scopes: []keys.Scope{keys.CronJobs}, Enter: jobsOf,
		Workload: &Workload{Ready: func(object.Table, *object.Row) string { return "-" }, Status: schedule},
		Deletion: Deletion{One: withPods.One, Many: withPods.Many}},
	{Resource: object.ReplicaSets, Scopes: []keys.Scope{keys.Scalable, keys.Selecting}, Enter: podsOf, Deletion: withPods},
	{Resource: object.ReplicationControllers, Scopes: []keys.Scope{keys.Scalable, keys.Selecting}, Enter: podsOf, Deletion: other},
	{Resource: object.Services, Card: true, Scopes: []keys.Scope{keys.Selecting, keys.Reachable}, Enter: podsOf,
		Columns: Columns{Addresses: true}, Deletion: other},
	{Resource: named("networking.k8s.io", "ingresses"), Scopes: []keys.Scope{keys.Reachable}, Columns: Columns{Addresses: true}, Deletion: other},
	{Resource: object.Claims, Aliases: []string{"claims"}, Card: true, Deletion: onVolume},
	{Resource: object.Volumes, Aliases: []string{"volumes"}, Deletion: Deletion{One: onVolume.One, Many: onVolume.Many, Counted: true, Typed: true}},
	{Resource: object.Events, Card: true, Columns: Columns{Sort: "Last Seen", Hidden: []string{"Name"}}, Deletion: other},
	{Resource: object.Namespaces, Enter: podsIn, Deletion: Deletion{
		One:  "EVERYTHING in it is deleted: workloads, configuration, volume claims and their data.",
		Many: "EVERYTHING in them is deleted: workloads, configuration, volume claims and their data.", Counted: true, Typed: true,
	}},
	{Resource: object.ConfigMaps, Aliases: []string{"config"}, Enter: yaml, Deletion: inPods},
	{Resource: object.Secrets, Aliases: []string{"sec"}, Scopes: []keys.Scope{keys.Secrets}, Enter: yaml, Deletion: inPods},
	{Resource: object.Definitions, Enter: customObjects, Deletion: Deletion{
		One: "All objects of this kind are deleted too.", Many: "All objects of these kinds are deleted too.", Counted: true, Typed: true,
	}},
	{Resource: named("discovery.k8s.io", "endpointslices"), Aliases: []string{"ep"}, Deletion: other},
	{Resource: named("networking.k8s.io", "networkpolicies"), Aliases: []string{"np"}, Deletion: other},
	{Resource: named("rbac.authorization.k8s.io", "roles"), Aliases: []string{"ro"}, Deletion: other},
	{Resource: named("rbac.authorization.k8s.io", "rolebindings"), Aliases: []string{"rb"}, Deletion: other},
	{Resource: named("rbac.authorization.k8s.io", "clusterroles"), Aliases: []string{"cr"}, Deletion: other},
	{Resource: named("rbac.authorization.k8s.io", "clusterrolebindings"), Aliases: []string{"crb"}, Deletion: other},
}

func named(group, name string) object.Resource { return object.Resource{Group: group, Name: name} }

// schedule returns the schedule of a cron job, or that it is suspended.
func schedule(t object.Table, r *object.Row) string {
	if strings.EqualFold(t.Cell(r, "Suspend"), "true") {
		return "Suspended"
	}
	return t.Cell(r, "Schedule")
}

// Of returns what is known about the objects of a resource.
func Of(r object.Resource) Kind {
	for _, k := range kinds {
		if k.Resource.ID() == r.ID() {
			return k
		}
	}
	return Kind{Resource: r, Deletion: other}
}

// Aliases returns the resource that each alias stands for.
func Aliases() map[string]string {
	all := map[string]string{}
	for _, k := range kinds {
		for _, alias := range k.Aliases {
			all[alias] = k.Resource.Name
		}
	}
	return all
}

// Cards returns the resources that have a card on the pulse screen.
func Cards() []object.Resource {
	return where(func(k Kind) bool { return k.Card })
}

// Workloads returns the resources that run pods.
func Workloads() []object.Resource {
	return where(func(k Kind) bool { return k.Workload != nil })
}

func where(match func(Kind) bool) []object.Resource {
	var found []object.Resource
	for _, k := range kinds {
		if match(k) {
			found = append(found, k.Resource)
		}
	}
	return found
}

func containers(_ *screen.World, at Aim) []screen.Request {
	return screen.Show(screen.Containers{Pod: at.Ref})
}

func yaml(_ *screen.World, at Aim) []screen.Request {
	return screen.Show(screen.Text(at.Ref, feed.YAML))
}
