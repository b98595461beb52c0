package kube

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// objects delivers the table of the selected objects until ctx ends. Several
// namespaces are watched together, or one by one for users who may not list the
// resource in the whole cluster.
func (c *Client) objects(ctx context.Context, need feed.Objects, emit func(any)) {
	if len(need.Namespaces) < 2 || !need.Resource.Namespaced {
		newTableWatch(c, need).run(ctx, emit)
		return
	}
	together, stop := context.WithCancel(ctx)
	defer stop()
	refused := false
	newTableWatch(c, need).run(together, func(message any) {
		if table, ok := message.(object.Table); ok && table.Freshness.State == object.Refused {
			refused = true
			stop()
			return
		}
		emit(message)
	})
	if refused {
		c.eachNamespace(ctx, need, emit)
	}
}

// eachNamespace watches every namespace by itself and delivers their tables as one.
func (c *Client) eachNamespace(ctx context.Context, need feed.Objects, emit func(any)) {
	var mu sync.Mutex // guards tables, and keeps deliveries in order
	tables := map[string]object.Table{}
	for _, namespace := range need.Namespaces {
		tables[namespace] = object.Table{}
	}
	var watching sync.WaitGroup
	for _, namespace := range need.Namespaces {
		one := need
		one.Namespaces = []string{namespace}
		watching.Go(func() {
			newTableWatch(c, one).run(ctx, func(message any) {
				table, ok := message.(object.Table)
				if !ok {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				tables[namespace] = table
				emit(join(need, tables))
			})
		})
	}
	watching.Wait()
}

// join returns the tables of several namespaces as one.
func join(need feed.Objects, tables map[string]object.Table) object.Table {
	whole := object.Table{Cluster: need.Cluster, Resource: need.Resource}
	states := map[string]object.Freshness{}
	for namespace, table := range tables {
		whole.Rows = append(whole.Rows, table.Rows...)
		if len(whole.Columns) == 0 {
			whole.Columns = table.Columns
		}
		states[namespace] = table.Freshness
	}
	slices.SortFunc(whole.Rows, func(a, b *object.Row) int { return cmp.Compare(a.Key(), b.Key()) })
	whole.Freshness = joinFreshness(states)
	return whole
}

// joinFreshness returns the freshness of the joined data of several namespaces. It is
// Lost if any namespace is. Problem names the first namespace that the user may not
// read.
func joinFreshness(states map[string]object.Freshness) object.Freshness {
	first := map[object.State]object.Freshness{}
	problem := ""
	for _, namespace := range slices.Sorted(maps.Keys(states)) {
		f := states[namespace]
		if _, ok := first[f.State]; !ok {
			first[f.State] = f
		}
		if f.State == object.Refused && problem == "" {
			problem = "namespace " + namespace + " is unavailable: " + f.Problem
		}
	}
	for _, state := range []object.State{object.Lost, object.Live, object.Loading} {
		if f, ok := first[state]; ok {
			f.Problem = cmp.Or(f.Problem, problem)
			return f
		}
	}
	return first[object.Refused]
}
