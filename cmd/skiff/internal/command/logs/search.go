package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/records/logs/child"
	"github.com/skiff-dev/skiff/vm/records/logs/query"
	"github.com/skiff-dev/skiff/vm/records/logs/store"
	"github.com/skiff-dev/skiff/vm/records/replica"
)

// storeFlags are the flags that search the log store instead of asking the nodes.
var storeFlags = []string{"pod", "namespace", "selector", "container", "since", "until", "query", "output"}

// sources of entries in the store, besides the names of programs.
var sources = []string{"container", "program", "kernel", "audit", "event", "lost"}

// openLimit bounds how long a store takes to open.
const openLimit = 30 * time.Second

// search is a search of the log store.
type search struct {
	pod, namespace, selector, container, since, until, query string
	node, source                                             string
	logRange
	json bool
}

func (q *search) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.pod, "pod", "", "search for entries of this `pod`; a name that ends in * is a prefix")
	f.StringVarP(&q.namespace, "namespace", "n", "", "search for entries of this `namespace`")
	f.StringVarP(&q.selector, "selector", "l", "", "search for entries of pods with these `labels`, such as app=web,tier!=cache")
	f.StringVar(&q.container, "container", "", "search for entries of containers with this `name`")
	f.StringVar(&q.since, "since", "", "search for entries since this `time`: a duration such as 90m or 2d, or a time such as 2026-01-02T15:04:05Z")
	f.StringVar(&q.until, "until", "", "search for entries before this `time`, written like --since")
	f.StringVar(&q.query, "query", "", "search with this `query` in LogsQL")
}

// wanted reports whether a flag of the search was given.
func (q *search) wanted(cmd *cobra.Command) bool {
	return slices.ContainsFunc(storeFlags, func(name string) bool { return cmd.Flags().Changed(name) })
}

// question returns the question to the store, or what is wrong with the flags.
func (q *search) question(now time.Time) (query.Question, error) {
	var conditions []string
	for _, c := range []struct{ field, value string }{
		{"pod", q.pod}, {"namespace", q.namespace}, {"container", q.container}, {"node", q.node},
	} {
		if c.value != "" {
			conditions = append(conditions, query.Is(c.field, c.value))
		}
	}
	switch {
	case q.source == "":
	case slices.Contains(sources, q.source):
		conditions = append(conditions, query.Is("source", q.source))
	default:
		conditions = append(conditions, query.Is("program", q.source))
	}
	if q.selector != "" {
		condition, err := query.Selector(q.selector)
		if err != nil {
			return query.Question{}, cli.Invalid("", "invalid --selector %q: %v", q.selector, err)
		}
		conditions = append(conditions, condition)
	}
	question := query.Question{Query: q.query, Filter: strings.Join(conditions, " "), Last: q.lines}
	var err error
	if question.Since, err = parseTime("since", q.since, now); err != nil {
		return question, err
	}
	if question.Until, err = parseTime("until", q.until, now); err != nil {
		return question, err
	}
	if !question.Until.IsZero() && q.follow {
		return question, cli.Invalid("", "--until cannot be combined with --follow")
	}
	if !question.Until.IsZero() && !question.Since.Before(question.Until) {
		return question, cli.Invalid("", "--since %s is not before --until %s", q.since, q.until)
	}
	return question, nil
}

// parseTime parses a time, or a duration before now.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := cluster.ParseKeep(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, cli.Invalid("", "invalid --%s %q: use a duration such as 90m or 2d, or a time such as 2026-01-02T15:04:05Z", flag, text)
}

// run searches the log store of a cluster that exists or existed.
func (q *search) run(ctx context.Context, s cli.Streams, clusterName string) error {
	question, err := q.question(time.Now())
	if err != nil {
		return err
	}
	records, err := target.OpenRecords(clusterName)
	if err != nil {
		return err
	}
	if q.follow && records.Client == nil {
		return cli.Invalid("", "cannot follow the logs of cluster %q: it is not running", records.Name)
	}
	c, closeStore, err := openStore(ctx, records)
	if err != nil {
		return err
	}
	defer closeStore()
	if status, err := c.Status(ctx); err == nil {
		for _, node := range slices.Sorted(maps.Keys(status.Dropped)) {
			fmt.Fprintf(s.Err, "warning: node %s deleted %d lines before they could be collected; use --source lost to see when\n", cli.Clean(node), status.Dropped[node].Lines)
		}
	}
	out := s.Text() // JSON, too, may have control characters that it need not escape
	show := asText(out)
	if q.json {
		show = func(e query.Entry) error {
			_, err := out.Write(append(e.JSON, '\n'))
			return err
		}
	}
	if q.follow {
		err = c.Follow(ctx, question, show)
	} else {
		err = c.Search(ctx, question, show)
	}
	if refused := new(query.RefusedError); errors.As(err, &refused) {
		return cli.Invalid("LogsQL is described at https://docs.victoriametrics.com/victorialogs/logsql/", "the log store rejected the query: %s", cli.OneLine(refused.Error()))
	}
	if ctx.Err() != nil && q.follow {
		return nil
	}
	return err
}

// openStore returns a client of a log store. Without a daemon, a process of its own serves
// a copy of the store until the returned function is called: opening the store itself would
// change what was recorded.
func openStore(ctx context.Context, records target.Records) (*query.Client, func(), error) {
	if records.Client != nil {
		return &query.Client{Transport: records.Client, Base: "http://daemon" + daemonapi.PathLogs}, func() {}, nil
	}
	recorded := filepath.Join(records.Directory, home.LogRecords, home.LogStore)
	if _, err := os.Stat(recorded); err != nil {
		return nil, nil, cli.Invalid("", "no logs of cluster %q were recorded", records.Name)
	}
	dir, err := replica.Dir(records.Temporary, "logs-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	c, end, err := openCopy(ctx, recorded, dir)
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("open the logs of cluster %s: %w", records.Name, err)
	}
	return c, func() { end(); remove() }, nil
}

// openCopy copies the store in recorded to dir, and serves the copy until the returned
// function is called.
func openCopy(ctx context.Context, recorded, dir string) (*query.Client, func(), error) {
	opening, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	silent := slog.New(slog.DiscardHandler)
	if err := store.Copy(opening, recorded, filepath.Join(dir, home.LogStore), silent); err != nil {
		return nil, nil, err
	}
	command, err := target.LogsCommand()
	if err != nil {
		return nil, nil, err
	}
	socket := filepath.Join(dir, "s")
	server := child.New(child.Config{
		Command: func() []string { return append(command, "--dir", dir) }, Socket: socket, Log: silent,
	})
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Run(running)
	}()
	end := func() {
		stop()
		<-ended
	}
	if err := server.WaitReady(opening); err != nil {
		end()
		return nil, nil, err
	}
	return &query.Client{Transport: child.Transport(socket), Base: "http://logs"}, end, nil
}

// asText returns a function that prints an entry in one line, after its time and its
// origin. What a query computed is printed as its fields.
func asText(to io.Writer) func(query.Entry) error {
	return func(e query.Entry) error {
		_, isEntry := e.Fields["_msg"]
		if e.Time.IsZero() || !isEntry && e.Fields["_stream"] == "" {
			var fields []string
			for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
				fields = append(fields, name+"="+e.Fields[name])
			}
			_, err := fmt.Fprintln(to, strings.Join(fields, " "))
			return err
		}
		_, err := fmt.Fprintf(to, "%s %s | %s\n", e.Time.Local().Format("2006-01-02T15:04:05.000"), origin(e.Fields), e.Fields["_msg"])
		return err
	}
}

// origin returns where an entry is from, in a few words.
func origin(f map[string]string) string {
	switch f["source"] {
	case "container":
		return f["namespace"] + "/" + f["pod"] + " " + f["container"]
	case "program":
		return f["node"] + " " + f["program"]
	case "event":
		return f["namespace"] + " event " + strings.ToLower(f["kind"]) + "/" + f["name"] + " " + f["reason"]
	default:
		return f["node"] + " " + f["source"]
	}
}
