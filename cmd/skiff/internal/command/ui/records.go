package ui

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records/logs/query"
)

// maxFound is how many entries of the log store a search shows: the newest.
const maxFound = 5000

// records returns a client of the daemon that records a cluster.
func (u *host) records(cluster string) (*client.Client, error) {
	if u.other != nil && u.other.name == cluster {
		return nil, fmt.Errorf("%s is not a cluster of this host: nothing is recorded", cluster)
	}
	return client.New(client.Config{Home: u.home, Name: cluster}), nil
}

// Measure implements tui.Host.
func (u *host) Measure(ctx context.Context, cluster, expression string, span time.Duration, points int) ([]float64, error) {
	c, err := u.records(cluster)
	if err != nil {
		return nil, err
	}
	values, err := c.Measure(ctx, expression, span, points)
	return values, target.Explain(cluster, err)
}

// StoredLogs implements tui.Host.
func (u *host) StoredLogs(ctx context.Context, need feed.StoredLogs) ([]feed.Line, error) {
	c, err := u.records(need.Cluster)
	if err != nil {
		return nil, err
	}
	store := query.Client{Transport: c, Base: "http://daemon" + daemonapi.PathLogs}
	var lines []feed.Line
	question := query.Question{Query: need.Query, Filter: logFilter(need), Since: time.Now().Add(-need.Since), Last: maxFound}
	err = store.Search(ctx, question, func(e query.Entry) error {
		lines = append(lines, lineOf(e))
		return nil
	})
	if refused := new(query.RefusedError); errors.As(err, &refused) {
		return nil, fmt.Errorf("the log store rejected the query: %w", refused)
	}
	return lines, err
}

// logFilter returns the condition for what a user searches, in LogsQL.
func logFilter(need feed.StoredLogs) string {
	var all []string
	if len(need.Namespaces) > 0 {
		var names []string
		for _, namespace := range need.Namespaces {
			names = append(names, query.Is("namespace", namespace))
		}
		all = append(all, "("+strings.Join(names, " or ")+")")
	}
	for _, field := range []struct{ name, value string }{{"pod", need.Pod}, {"container", need.Container}, {"node", need.Node}} {
		if field.value != "" {
			all = append(all, query.Is(field.name, field.value))
		}
	}
	if words := query.Words(need.Text); words != "" {
		all = append(all, words)
	}
	return strings.Join(all, " ")
}

// lineOf returns an entry as a line. What a query computed is shown as its fields.
func lineOf(e query.Entry) feed.Line {
	text, ok := e.Fields["_msg"]
	if !ok {
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
			fields = append(fields, name+"="+e.Fields[name])
		}
		text = strings.Join(fields, " ")
	}
	line := feed.Line{At: e.Time, Text: strings.ReplaceAll(text, "\n", " ⏎ ")}
	switch f := e.Fields; {
	case f["container"] != "":
		line.Source = f["pod"] + "/" + f["container"]
		if attempt := f["attempt"]; attempt != "" && attempt != "0" {
			line.Source += "#" + attempt // a restart
		}
	case f["source"] != "":
		line.Source = strings.Trim(f["node"]+"/"+f["program"], "/")
		if line.Source == f["node"] {
			line.Source = strings.Trim(f["node"]+"/"+f["source"], "/")
		}
	}
	return line
}
