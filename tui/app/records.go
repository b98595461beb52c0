package app

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// graphInterval is how often graphs are read again, as often as metrics are recorded, and
// graphPoints how many values each has.
const (
	graphInterval = 15 * time.Second
	graphPoints   = 120
)

// runGraphs reads the graphs of an object from the metrics that the daemon has recorded.
func (m *Model) runGraphs(ctx context.Context, need feed.Graphs, emit func(any)) {
	last := feed.GraphData{Range: need.Range}
	feed.Poll(ctx, graphInterval, requestLimit, func(ctx context.Context) {
		all, err := m.graphs(ctx, need)
		if err != nil {
			last.Freshness = object.Freshness{State: object.Lost, At: last.At, Problem: err.Error()}
		} else {
			last = feed.GraphData{Range: need.Range, All: all, Freshness: object.Freshness{State: object.Live, At: m.config.Now()}}
		}
		emit(last)
	})
}

func (m *Model) graphs(ctx context.Context, need feed.Graphs) ([]feed.Graph, error) {
	all, expressions := graphsOf(need.Ref)
	for i, expression := range expressions {
		var err error
		if all[i].Values, err = m.config.Host.Measure(ctx, need.Ref.Cluster, expression, need.Range, graphPoints); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// graphsOf returns the graphs of an object without their values, and the expressions in
// PromQL that yield them.
func graphsOf(ref object.Ref) (all []feed.Graph, expressions []string) {
	add := func(title string, unit feed.Unit, expression string) {
		all, expressions = append(all, feed.Graph{Title: title, Unit: unit}), append(expressions, expression)
	}
	network := func(of string) {
		add("Received", feed.BytesPerSecond, "sum(rate(container_network_receive_bytes_total{"+of+"}[2m]))")
		add("Sent", feed.BytesPerSecond, "sum(rate(container_network_transmit_bytes_total{"+of+"}[2m]))")
	}
	if ref.Resource.ID() == object.Nodes.ID() {
		of := "node=" + strconv.Quote(ref.Name)
		add("CPU", feed.Cores, "sum(rate(node_cpu_usage_seconds_total{"+of+"}[2m]))")
		add("Memory", feed.Bytes, "sum(node_memory_working_set_bytes{"+of+"})")
		network(of + `,pod!=""`)
		return all, expressions
	}
	of := fmt.Sprintf("namespace=%q,pod=~%q", ref.Namespace, podPattern(ref))
	add("CPU", feed.Cores, "sum(rate(container_cpu_usage_seconds_total{"+of+`,container!=""}[2m]))`)
	add("Memory", feed.Bytes, "sum(container_memory_working_set_bytes{"+of+`,container!=""})`)
	network(of)
	return all, expressions
}

// podPattern matches the names of the pods that an object is or creates.
func podPattern(ref object.Ref) string {
	name := regexp.QuoteMeta(ref.Name)
	switch ref.Resource.ID() {
	case object.Pods.ID():
		return name
	case object.Deployments.ID():
		return name + "-[a-z0-9]+-[a-z0-9]{5}"
	case object.StatefulSets.ID():
		return name + "-[0-9]+"
	}
	return name + "-[a-z0-9]{5}"
}

// runStoredLogs searches the log store once.
func (m *Model) runStoredLogs(ctx context.Context, need feed.StoredLogs, emit func(any)) {
	lines, err := m.config.Host.StoredLogs(ctx, need)
	if ctx.Err() != nil {
		return
	}
	answer := feed.Lines{Lines: lines, Done: true, Freshness: object.Freshness{State: object.Live, At: m.config.Now()}}
	if err != nil {
		answer.Failure = err.Error()
	}
	emit(answer)
	<-ctx.Done()
}
