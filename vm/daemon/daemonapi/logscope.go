package daemonapi

import (
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// LogSourceEvent is the source of entries that were Kubernetes events. The other
// sources are those of package nodeapi.
const LogSourceEvent = "event"

// Parameters of queries that narrow what they read, subqueries and all selectors
// included. All values of a parameter apply.
const (
	// ParameterLogFilter is a condition in LogsQL.
	ParameterLogFilter = "extra_stream_filters"
	// ParameterMetricsFilter is a selector in PromQL.
	ParameterMetricsFilter = "extra_filters"
)

// Namespaces are all namespaces or those that are named.
type Namespaces struct {
	All   bool
	Names []string
}

// LogScope is a part of the stored logs.
type LogScope struct {
	// Containers and Events are in the scope if their namespace is.
	Containers, Events Namespaces
	// Nodes includes the logs of programs and kernels of nodes, and the audit log.
	Nodes bool
}

// Everything reports whether all logs are in the scope.
func (s LogScope) Everything() bool { return s.Containers.All && s.Events.All && s.Nodes }

// Filter returns the scope as a condition in LogsQL, or "" if nothing is in it. It
// concerns the labels of streams, which the store assigns, not fields, which programs
// choose. Hence the pipe stream_context, which shows what surrounds an entry in its
// stream, stays in the scope as well.
func (s LogScope) Filter() string {
	var parts []string
	add := func(source string, in Namespaces) {
		condition := "source=" + strconv.Quote(source)
		switch {
		case in.All:
		case len(in.Names) == 0:
			return
		default:
			quoted := make([]string, len(in.Names))
			for i, name := range in.Names {
				quoted[i] = strconv.Quote(name)
			}
			condition += ",namespace in (" + strings.Join(quoted, ",") + ")"
		}
		parts = append(parts, condition)
	}
	add(nodeapi.LogSourceContainer, s.Containers)
	add(LogSourceEvent, s.Events)
	if s.Nodes {
		for _, source := range []string{nodeapi.LogSourceProgram, nodeapi.LogSourceKernel, nodeapi.LogSourceAudit} {
			add(source, Namespaces{All: true})
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, " or ") + "}"
}
