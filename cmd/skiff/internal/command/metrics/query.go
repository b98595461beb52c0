package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
)

// queryOptions are the flags of query.
type queryOptions struct {
	cluster *string
	time    string
	since   time.Duration
	step    time.Duration
}

// points is how many points a range has if no step is given.
const points = 60

func newQuery(s cli.Streams) *cobra.Command {
	var o queryOptions
	cmd := &cobra.Command{
		Use:   "query EXPRESSION",
		Short: "Evaluate a PromQL expression",
		Long: `Evaluate a PromQL expression over the recorded metrics, now or over a period. For a cluster
that is stopped or deleted, the time is that of its last sample unless --time is given.

The metrics have the same names and labels as in Prometheus: container_… from cAdvisor,
kube_… from kube-state-metrics, apiserver_… and so on. skiff_machine_… are the machines as
this host sees them.`,
		Example: `  # Show the memory of each container in a namespace
  skiff metrics query 'container_memory_working_set_bytes{namespace="shop"}'

  # Show the CPU usage of a pod over the last hour
  skiff metrics query 'rate(container_cpu_usage_seconds_total{pod="db-0"}[1m])' --since 1h

  # Show which containers restarted before the cluster was deleted
  skiff metrics query 'kube_pod_container_status_restarts_total > 0' -c ci -o json`,
		Args: cli.Arguments(1, 1),
	}
	o.cluster = target.Flag(cmd)
	cmd.Flags().StringVar(&o.time, "time", "", "evaluate at this `time`, such as 2026-11-29T19:00:00Z or a Unix time; with --since, the end of the period")
	cmd.Flags().DurationVar(&o.since, "since", 0, "evaluate over a period of this length")
	cmd.Flags().DurationVar(&o.step, "step", 0, "time between two points of the period")
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		from, err := open(*o.cluster)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, from.close()) }()
		path, parameters, err := o.request(args[0], from.end)
		if err != nil {
			return err
		}
		answer, err := from.get(cmd.Context(), path, parameters)
		if err != nil {
			return err
		}
		return show(s, answer, inJSON)
	}
	return cmd
}

// request returns the request for an expression. end is the time up to which there are
// metrics.
func (o queryOptions) request(expression string, end time.Time) (path string, parameters url.Values, err error) {
	if o.time != "" {
		if end, err = parseTime(o.time); err != nil {
			return "", nil, err
		}
	}
	switch {
	case o.since < 0 || o.step < 0:
		return "", nil, cli.Invalid("", "--since and --step must not be negative")
	case o.since == 0 && o.step > 0:
		return "", nil, cli.Invalid("", "--step needs --since")
	case o.since == 0:
		return "/api/v1/query", url.Values{"query": {expression}, "time": {unix(end)}}, nil
	}
	step := o.step
	if step == 0 {
		step = max(o.since/points, time.Second)
	}
	return "/api/v1/query_range", url.Values{
		"query": {expression}, "start": {unix(end.Add(-o.since))}, "end": {unix(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}, nil
}

func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, cli.Invalid("", "invalid --time %q: use e.g. 2026-11-29T19:00:00Z", text)
	}
	return at, nil
}

func unix(at time.Time) string {
	return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)
}

// response is an answer of the API.
type response struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// series is one of a result.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
	Values []point           `json:"values"`
}

// point is a time and a value.
type point struct {
	at    time.Time
	value string
}

// UnmarshalJSON decodes [1435781451.781,"1"].
func (p *point) UnmarshalJSON(content []byte) error {
	var seconds float64
	pair := []any{&seconds, &p.value}
	if err := json.Unmarshal(content, &pair); err != nil {
		return err
	}
	p.at = time.UnixMilli(int64(seconds * 1000))
	return nil
}

// show prints an answer, as the API gave it or as a table.
func show(s cli.Streams, a *answer, asJSON bool) error {
	var r response
	if err := json.Unmarshal(a.body.Bytes(), &r); err != nil || r.Status != "success" {
		return refused(a, r)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(s.Err, "warning: %s\n", cli.Clean(warning))
	}
	if asJSON {
		var whole any
		if err := json.Unmarshal(a.body.Bytes(), &whole); err != nil {
			return err
		}
		return s.JSON(whole)
	}
	rows, err := r.rows()
	if err != nil {
		return fmt.Errorf("decode the result: %w", err)
	}
	if len(rows) == 1 {
		fmt.Fprintln(s.Err, "no result")
		return nil
	}
	return s.Table(rows)
}

// refused returns the error in an answer.
func refused(a *answer, r response) error {
	switch {
	case r.ErrorType == "bad_data":
		return cli.Invalid("", "%s", r.Error)
	case r.Error != "":
		return errors.New(r.Error)
	case a.status == http.StatusServiceUnavailable:
		return errors.New("metrics are not being recorded; run \"skiff status\" to see why")
	}
	return fmt.Errorf("query the metrics: the daemon answered %d: %.200s", a.status, a.body.String())
}

// rows returns the table of a result.
func (r response) rows() ([][]string, error) {
	if r.Data.ResultType != "vector" && r.Data.ResultType != "matrix" {
		var single point
		err := json.Unmarshal(r.Data.Result, &single)
		return [][]string{{"VALUE"}, {single.value}}, err
	}
	var all []series
	if err := json.Unmarshal(r.Data.Result, &all); err != nil {
		return nil, err
	}
	if r.Data.ResultType == "vector" {
		rows := [][]string{{"METRIC", "VALUE"}}
		for _, one := range all {
			rows = append(rows, []string{name(one.Metric), one.Value.value})
		}
		return rows, nil
	}
	rows := [][]string{{"METRIC", "TIME", "VALUE"}}
	for _, one := range all {
		for _, p := range one.Values {
			rows = append(rows, []string{name(one.Metric), p.at.Local().Format(time.DateTime), p.value})
		}
	}
	return rows, nil
}

// redundant labels of a container are not shown in tables.
var redundant = []string{"id", "name", "image"}

// name formats a metric as in PromQL.
func name(metric map[string]string) string {
	var pairs []string
	for _, label := range slices.Sorted(maps.Keys(metric)) {
		if label != "__name__" && !(metric["pod"] != "" && slices.Contains(redundant, label)) {
			pairs = append(pairs, fmt.Sprintf("%s=%q", label, metric[label]))
		}
	}
	return metric["__name__"] + "{" + strings.Join(pairs, ", ") + "}"
}
