package collect

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

// source makes rows of the entries of one file.
type source struct {
	parse      entry.ParseFunc
	labels     []entry.Field            // without the stream
	withStream map[string][]entry.Field // labels with the stream, by its name
	fields     []entry.Field            // that every row has
	uid        string                   // of a pod whose labels are not known
	kind       string
	json       entry.Parser
}

// labelWait is how long all new logs of an answer wait until the labels of their pods
// are known. Later lines have them anyway.
const labelWait = time.Second

// newSource returns the source of a file by what the node tells of it.
func (c *collector) newSource(ctx context.Context, chunk nodeapi.LogChunk) *source {
	s := &source{kind: chunk.Source, withStream: map[string][]entry.Field{}, labels: []entry.Field{{Name: "cluster", Value: c.Cluster}, {Name: "node", Value: c.Name}}}
	label := func(name, value string) { s.labels = append(s.labels, entry.Field{Name: name, Value: value}) }
	switch chunk.Source {
	case nodeapi.LogSourceContainer:
		label("source", nodeapi.LogSourceContainer)
		s.parse = entry.ParseCRI
		if of, ok := entry.ParsePath(chunk.Path); ok {
			label("namespace", of.Namespace)
			label("pod", of.Pod)
			label("container", of.Container)
			s.fields = []entry.Field{{Name: "pod_uid", Value: of.UID}, {Name: "attempt", Value: of.Attempt}}
			s.uid = of.UID
			begun := time.Now()
			c.podLabels(ctx, s, c.patience)
			c.patience = max(c.patience-time.Since(begun), 0)
		}
	case nodeapi.LogSourceAudit:
		label("source", nodeapi.LogSourceAudit)
		s.parse = entry.ParseAudit
	case nodeapi.LogSourceKernel:
		label("source", nodeapi.LogSourceKernel)
		s.parse = entry.ParseKernel
	default:
		label("source", nodeapi.LogSourceProgram)
		label("program", programName(chunk.Path))
		s.parse = entry.ParseProgram(time.Now().Year())
	}
	return s
}

// podLabels adds the labels of the source's pod once they are known.
func (c *collector) podLabels(ctx context.Context, s *source, wait time.Duration) {
	if c.PodLabels == nil || s.uid == "" {
		return
	}
	if labels, ok := c.PodLabels(ctx, s.uid, wait); ok {
		s.fields, s.uid = append(s.fields, labels...), ""
	}
}

// programName returns a name that a guest reported, if it can be a program's.
func programName(name string) string {
	if len(name) > 64 {
		return "unknown"
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return "unknown"
		}
	}
	return name
}

// labelsOf returns the labels of one stream of the file.
func (s *source) labelsOf(stream string) []entry.Field {
	if stream == "" {
		return s.labels
	}
	labels, ok := s.withStream[stream]
	if !ok {
		labels = append(slices.Clone(s.labels), entry.Field{Name: "stream", Value: stream})
		s.withStream[stream] = labels
	}
	return labels
}

// row returns the row of an entry.
func (s *source) row(e entry.Entry) Row {
	r := Row{Time: e.Time, Labels: s.labelsOf(e.Stream), Text: e.Text}
	r.Fields = append(r.Fields, s.fields...)
	if e.Cut {
		r.Fields = append(r.Fields, entry.Field{Name: "cut", Value: strconv.FormatBool(true)})
	}
	switch s.kind {
	case nodeapi.LogSourceKernel:
		level, text := entry.KernelLevel(e.Text)
		r.Text = text
		r.Fields = append(r.Fields, entry.Field{Name: "level", Value: level})
	case nodeapi.LogSourceAudit:
		fields := s.json.Fields(e.Text)
		if summary := entry.AuditSummary(fields); summary != "" {
			r.Text = summary
		}
		r.Fields = append(r.Fields, fields...)
	case nodeapi.LogSourceContainer:
		fields := s.json.Fields(e.Text)
		if fields == nil {
			fields = entry.ProgramFields(e.Text) // logfmt and klog have levels, too
		}
		r.Fields = append(r.Fields, fields...)
	default:
		r.Fields = append(r.Fields, entry.ProgramFields(e.Text)...)
	}
	return r
}
