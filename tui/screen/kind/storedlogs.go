package kind

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/widget"
)

// since is how far back stored logs are searched at first.
const since = time.Hour

// SearchLogs opens the form for a search of the stored logs, filled in with start.
func SearchLogs(start feed.StoredLogs) []screen.Request {
	if start.Since == 0 {
		start.Since = since
	}
	where := widget.Field{Name: "pod", Label: "Pod", Value: start.Pod, Hint: "a name, or its beginning and *; also of deleted pods"}
	if start.Node != "" {
		where = widget.Field{Name: "node", Label: "Node", Value: start.Node}
	}
	form := widget.NewForm("Search stored logs", []widget.Field{
		where,
		{Name: "container", Label: "Container", Value: start.Container},
		{Name: "text", Label: "Text", Value: start.Text, Hint: "words, !word for lines without it"},
		{Name: "query", Label: "LogsQL", Value: start.Query, Hint: "for example level:error"},
		{Name: "since", Label: "Since", Value: format.Span(start.Since), Hint: "for example 90m or 2d"},
	})
	return []screen.Request{screen.Fill{Form: form, Then: func(values map[string]string) []screen.Request {
		need := start
		span, err := parseSpan(values["since"])
		if err != nil {
			return screen.Failure(err.Error())
		}
		need.Pod, need.Container, need.Text, need.Query, need.Since = values["pod"], values["container"], values["text"], values["query"], span
		if start.Node != "" {
			need.Node = values["node"]
		}
		return StoredLogs(need)
	}}}
}

// StoredLogs shows the result of a search.
func StoredLogs(need feed.StoredLogs) []screen.Request {
	if need.Since == 0 {
		need.Since = since
	}
	of := cmp.Or(need.Pod, need.Node, need.Cluster)
	return screen.Show(screen.StoredLogs{Of: of, Need: need})
}

// parseSpan parses a duration, which may be in days.
func parseSpan(text string) (time.Duration, error) {
	span, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		span = time.Duration(n * 24 * float64(time.Hour))
	}
	if err != nil || span <= 0 || span > 1000*24*time.Hour {
		return 0, fmt.Errorf("invalid time %q: use for example 90m or 2d", text)
	}
	return span, nil
}

// searchPods searches the logs of a pod, or of the pods that a workload creates.
func searchPods(at Aim) []screen.Request {
	start := feed.StoredLogs{Cluster: at.Ref.Cluster, Namespaces: []string{at.Ref.Namespace}, Pod: at.Ref.Name}
	if at.Ref.Resource.ID() != object.Pods.ID() {
		start.Pod += "-*"
	}
	return SearchLogs(start)
}
