package screen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Objects shows all objects of one resource with the server's own columns.
type Objects struct {
	Resource object.Resource
	// Scope narrows what is shown.
	Scope Narrow

	clusters   []string
	namespaces []string
	common     []string // namespaces that were chosen for all screens
	tables     map[string]object.Table
	usage      map[string]feed.Stats
	rows       []*object.Row
	columns    []column
	table      *widget.Table
	filter     filter.Filter
	wide       bool
	faults     bool
	shown      int // rows before the filter
}

// Narrow is a part of a resource's objects.
type Narrow struct {
	// Name of the part in the title, such as "of deployment web".
	Name string
	// Namespaces, instead of those that are chosen.
	Namespaces     []string
	Labels, Fields string
	// Owner is the UID of the object that controls those shown.
	Owner string
	// Cluster, instead of those that are chosen.
	Cluster string
}

// column of what is shown: the server's, or one of ours.
type column struct {
	object.Column
	from int // in Row.Cells; below 0 one of ours
}

// Columns of ours.
const (
	fromCluster = -1 - iota
	fromNamespace
	fromCPU
	fromMemory
)

// NewObjects returns the screen of a resource.
func NewObjects(w *World, r object.Resource, n Narrow) *Objects {
	o := &Objects{
		Resource: r, Scope: n, tables: map[string]object.Table{}, usage: map[string]feed.Stats{},
		table: widget.NewTable(nil),
	}
	order, known := w.Orders[r.ID()]
	if r.Name == "events" && !known {
		order.By = "Last Seen"
	}
	o.table.SortByTitle(order.By, order.Reverse)
	o.choose(w)
	o.refresh(w)
	return o
}

// choose takes over which clusters and namespaces are to be shown.
func (o *Objects) choose(w *World) {
	if o.Scope.Name == "" && !slices.Equal(o.common, w.Namespaces) && o.clusters != nil {
		o.Scope.Namespaces = nil // what was chosen later holds
	}
	o.common = w.Namespaces
	o.clusters, o.namespaces = w.Clusters, w.Namespaces
	if o.Scope.Cluster != "" {
		o.clusters = []string{o.Scope.Cluster}
	}
	if o.Scope.Namespaces != nil {
		o.namespaces = o.Scope.Namespaces
	}
	if !o.Resource.Namespaced {
		o.namespaces = nil
	}
	for name := range o.tables {
		if !slices.Contains(o.clusters, name) {
			delete(o.tables, name)
		}
	}
}

// Rechoose is called when other clusters or namespaces were chosen.
func (o *Objects) Rechoose(w *World) {
	before := o.Needs()
	o.choose(w)
	if len(before) == len(o.Needs()) && slices.EqualFunc(before, o.Needs(), func(a, b feed.Need) bool { return a.Key() == b.Key() }) {
		return
	}
	clear(o.tables)
	o.refresh(w)
}

// Crumb is Screen's.
func (o *Objects) Crumb() string {
	if o.Scope.Name != "" {
		return o.Resource.Name + " " + o.Scope.Name
	}
	return o.Resource.Name
}

// Title is Screen's.
func (o *Objects) Title() string {
	where := ""
	switch {
	case o.Scope.Name != "":
		where = o.Scope.Name
	case !o.Resource.Namespaced:
	case len(o.namespaces) == 0:
		where = "in all namespaces"
	default:
		where = "in " + strings.Join(few(o.namespaces, 3), ", ")
	}
	text := o.Resource.Title()
	if o.Scope.Cluster != "" && o.Scope.Name == "" {
		text += " of " + o.Scope.Cluster
	}
	if where != "" {
		text += " " + where
	}
	at, _ := o.table.Where()
	number := fmt.Sprintf("%d/%d", at, len(o.rows))
	if len(o.rows) != o.shown {
		number += fmt.Sprintf(" of %d", o.shown)
	}
	if marks := o.table.Marks(); marks > 0 {
		number += fmt.Sprintf(", %d marked", marks)
	}
	if o.faults {
		number += ", unhealthy only"
	}
	return text + "  " + number
}

// Scopes is Screen's.
func (o *Objects) Scopes() []keys.Scope {
	scopes := append(scopesOf(o.Resource), keys.Objects, keys.Rows, keys.Columns)
	if o.Resource.Namespaced && o.Scope.Name == "" {
		scopes = append(scopes, keys.Spaces)
	}
	return append(scopes, keys.List)
}

// Needs is Screen's.
func (o *Objects) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range o.clusters {
		needs = append(needs, feed.Objects{
			Cluster: cluster, Resource: o.Resource, Namespaces: o.namespaces, Labels: o.Scope.Labels, Fields: o.Scope.Fields,
		})
		if id := o.Resource.ID(); id == "pods" {
			needs = append(needs, feed.Usage{Cluster: cluster})
		}
	}
	return needs
}

// Take is Screen's.
func (o *Objects) Take(w *World, delivery any) {
	switch d := delivery.(type) {
	case object.Table:
		if d.Resource.ID() == o.Resource.ID() && slices.Contains(o.clusters, d.Cluster) {
			o.tables[d.Cluster] = d
			o.refresh(w)
		}
	case feed.Stats:
		o.usage[d.Cluster] = d
		o.refresh(w) // they may be sorted by it
	}
}

// Freshness is Dated's: that of the cluster with the oldest data.
func (o *Objects) Freshness() object.Freshness {
	return oldest(o.clusters, func(cluster string) object.Freshness { return o.tables[cluster].Freshness })
}

// refresh makes the rows anew from what was delivered.
func (o *Objects) refresh(w *World) {
	o.rows, o.shown = nil, 0
	if len(o.clusters) == 1 && o.filter.Empty() && !o.faults && o.Scope.Owner == "" {
		o.rows = o.tables[o.clusters[0]].Rows
		o.shown = len(o.rows)
	} else {
		cells := make([]string, 0, 20)
		for _, cluster := range o.clusters {
			t := o.tables[cluster]
			for _, r := range t.Rows {
				if o.Scope.Owner != "" && r.Owner != o.Scope.Owner {
					continue
				}
				o.shown++
				cells = append(append(cells[:0], r.Cells...), r.Namespace, r.Cluster)
				if o.filter.Match(cells, r.Labels) && (!o.faults || o.unwell(t, r)) {
					o.rows = append(o.rows, r)
				}
			}
		}
	}
	o.arrange()
	o.table.SetSource(objectSource{o, w})
}

func (o *Objects) unwell(table object.Table, r *object.Row) bool {
	for i, c := range table.Columns {
		if i >= len(r.Cells) || c.Name == "Restarts" || c.Name == "Age" {
			continue
		}
		if t := tone(o.Resource, c.Name, r.Cells[i]); t == theme.Bad || t == theme.Warn || t == theme.Busy && c.Name == "Status" {
			return true
		}
	}
	return r.Deleting || lacking(table, r)
}

// arrange decides which columns are shown.
func (o *Objects) arrange() {
	var columns []column
	if len(o.clusters) > 1 {
		columns = append(columns, column{object.Column{Name: "Cluster"}, fromCluster})
	}
	if o.Resource.Namespaced && len(o.namespaces) != 1 {
		columns = append(columns, column{object.Column{Name: "Namespace"}, fromNamespace})
	}
	var server []object.Column
	for _, cluster := range o.clusters {
		if t := o.tables[cluster]; len(t.Columns) > 0 {
			server = t.Columns
			break
		}
	}
	pods := o.Resource.ID() == "pods"
	for i, c := range server {
		usual := pods && (c.Name == "IP" || c.Name == "Node")
		if c.Wide && !o.wide && !usual {
			continue
		}
		if pods && c.Name == "Age" && o.measured() {
			columns = append(columns, column{object.Column{Name: "CPU"}, fromCPU}, column{object.Column{Name: "Memory"}, fromMemory})
		}
		columns = append(columns, column{c, i})
	}
	if o.Resource.Name == "events" {
		ofOne := strings.HasPrefix(o.Scope.Fields, involved)
		columns = slices.DeleteFunc(columns, func(c column) bool { return c.Name == "Name" || ofOne && c.Name == "Object" })
	}
	o.columns = columns
	shown := make([]widget.Column, len(columns))
	for i, c := range columns {
		shown[i] = widget.Column{Title: c.Name, Right: numeric[c.Name], Min: least(c.Name), Spare: c.Wide || c.from <= fromCPU}
	}
	o.table.SetColumns(shown)
}

func (o *Objects) measured() bool {
	for _, s := range o.usage {
		if len(s.Pods) > 0 {
			return true
		}
	}
	return false
}

var numeric = map[string]bool{"CPU": true, "Memory": true, "Desired": true, "Current": true, "Up-to-date": true, "Data": true}

func least(column string) int {
	switch column {
	case "Name", "Message", "Object":
		return 20
	case "Namespace":
		return 8
	case "Node", "Selector", "Images", "Containers", "Labels":
		return 10
	}
	return 0
}
