// Package exposition reads what a program exposes for Prometheus, in its text format or
// in that of OpenMetrics. Whatever a program sends, the work and the memory for it are
// bounded.
package exposition

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// maxLine bounds a line, in bytes.
const maxLine = 64 << 10

// Accept is the value of the Accept header of a request for what this package reads.
const Accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"

// The formats that are read. Others, such as protocol buffers, were not asked for.
const (
	plainText   = "text/plain"
	openMetrics = "application/openmetrics-text"
)

// Errors of reading.
var (
	// ErrTooLarge reports more bytes than allowed.
	ErrTooLarge = errors.New("the answer is too large")
	// ErrTooMany reports more samples than allowed.
	ErrTooMany = errors.New("too many samples")
)

// Limits bound what Parse accepts.
type Limits struct {
	// Samples of an answer.
	Samples int
	// Labels of a series, and the bytes of each name and value.
	Labels, LabelBytes int
}

// Filter selects the metrics of an answer by name. A nil Filter selects all of them.
type Filter map[string]bool

// NewFilter returns a Filter for sample names such as "up" or "latency_seconds_bucket".
// It also selects the descriptions of the metrics that they belong to.
func NewFilter(names ...string) Filter {
	f := Filter{}
	for _, name := range names {
		f[name] = true
		for _, suffix := range []string{"_bucket", "_sum", "_count", "_total"} {
			if family, ok := bytes.CutSuffix([]byte(name), []byte(suffix)); ok {
				if _, named := f[string(family)]; !named {
					f[string(family)] = false // only its description
				}
			}
		}
	}
	return f
}

// selects reports whether the filter keeps a line.
func (f Filter) selects(line []byte) bool {
	line = bytes.TrimLeft(line, " \t")
	if len(line) == 0 {
		return false
	}
	if line[0] != '#' {
		return f[string(line[:nameLength(line)])]
	}
	words := bytes.Fields(line)
	if len(words) < 3 {
		return bytes.HasPrefix(line, []byte("# EOF"))
	}
	_, described := f[string(words[2])]
	return described
}

// nameLength returns the length of the metric's name that a line begins with.
func nameLength(line []byte) int {
	if i := bytes.IndexAny(line, "{ \t"); i >= 0 {
		return i
	}
	return len(line)
}

// Reader receives what an answer contains.
type Reader struct {
	// Sample receives a sample. series is its text up to the value, which stays valid
	// only during the call. parse writes its labels, with the name as __name__; it need
	// not be called. at is nil if the program gives no time, else it is in milliseconds.
	Sample func(series []byte, parse func(*labels.Labels) error, at *int64, value float64) error
	// Describe receives the type and the help text of a metric, one of which is empty;
	// it may be nil.
	Describe func(metric, kind, help string)
}

// Parse parses an answer that Select returned. contentType is that of the answer; an
// unknown one is read as plain text. The error wraps ErrTooLarge or ErrTooMany if a limit
// was exceeded; if there are too many samples, none has been received.
func Parse(content []byte, contentType string, limits Limits, to Reader) error {
	if samples(content) > limits.Samples {
		return fmt.Errorf("%w: more than %d", ErrTooMany, limits.Samples)
	}
	parser, err := textparse.New(content, format(contentType), labels.NewSymbolTable(), textparse.ParserOptions{
		IgnoreNativeHistograms: true, OpenMetricsSkipSTSeries: true,
	})
	if err != nil {
		return fmt.Errorf("read metrics: %w", err)
	}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read metrics: %w", err)
		}
		switch entry {
		case textparse.EntrySeries:
			series, at, value := parser.Series()
			parse := func(l *labels.Labels) error {
				parser.Labels(l)
				return limits.check(*l)
			}
			if err := to.Sample(series, parse, at, value); err != nil {
				return err
			}
		case textparse.EntryType:
			name, kind := parser.Type()
			to.describe(name, string(kind), "")
		case textparse.EntryHelp:
			name, help := parser.Help()
			to.describe(name, "", string(help))
		}
	}
}

// samples returns the number of lines with a sample.
func samples(content []byte) int {
	count := 0
	for line := range bytes.Lines(content) {
		if line = bytes.TrimLeft(line, " \t"); len(line) > 1 && line[0] != '#' {
			count++
		}
	}
	return count
}

// format returns the format that an answer is read as.
func format(contentType string) string {
	if media, _, err := mime.ParseMediaType(contentType); err == nil && media == openMetrics {
		return openMetrics
	}
	return plainText
}

func (r Reader) describe(name []byte, kind, help string) {
	if r.Describe != nil {
		r.Describe(string(name), kind, help)
	}
}

// check returns an error for labels that are too many or too long, or of which two have
// the same name.
func (l Limits) check(series labels.Labels) error {
	if series.Len() > l.Labels {
		return fmt.Errorf("%w: a series has %d labels; at most %d are allowed", ErrTooLarge, series.Len(), l.Labels)
	}
	if name, twice := series.HasDuplicateLabelNames(); twice {
		return fmt.Errorf("a series has the label %.64q twice", name)
	}
	return series.Validate(func(label labels.Label) error {
		if len(label.Name) > l.LabelBytes || len(label.Value) > l.LabelBytes {
			return fmt.Errorf("%w: a label has more than %d bytes", ErrTooLarge, l.LabelBytes)
		}
		return nil
	})
}

// Select reads the lines of an answer that the filter keeps, at most maxBytes. The error
// wraps ErrTooLarge if there are more.
func Select(body io.Reader, filter Filter, maxBytes int64) ([]byte, error) {
	if filter == nil {
		content, err := io.ReadAll(io.LimitReader(body, maxBytes+1))
		if err == nil && int64(len(content)) > maxBytes {
			err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxBytes)
		}
		return content, err
	}
	var kept []byte
	for lines := bufio.NewReaderSize(body, maxLine); ; {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("%w: a line has more than %d bytes", ErrTooLarge, maxLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if filter.selects(line) {
			if int64(len(kept)+len(line)) > maxBytes {
				return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxBytes)
			}
			kept = append(kept, line...)
		}
		if err != nil {
			if len(kept) > 0 && kept[len(kept)-1] != '\n' {
				kept = append(kept, '\n')
			}
			return kept, nil
		}
	}
}
