package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// failure is an error with its type in the API.
type failure struct {
	kind errorType
	err  error
}

type errorType struct {
	name   string
	status int
}

// The types of errors, as in Prometheus.
var (
	errorBadData     = errorType{"bad_data", http.StatusBadRequest}
	errorExecution   = errorType{"execution", http.StatusUnprocessableEntity}
	errorTimeout     = errorType{"timeout", http.StatusServiceUnavailable}
	errorCanceled    = errorType{"canceled", 499}
	errorUnavailable = errorType{"unavailable", http.StatusServiceUnavailable}
	errorInternal    = errorType{"internal", http.StatusInternalServerError}
)

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// bad reports an invalid parameter; name may be empty.
func bad(name string, err error) error {
	if name != "" {
		err = fmt.Errorf("invalid parameter %q: %w", name, err)
	}
	return &failure{errorBadData, err}
}

// failed returns the type of an error.
func failed(err error) *failure {
	var known *failure
	var timeout promql.ErrQueryTimeout
	var canceled promql.ErrQueryCanceled
	var stored promql.ErrStorage
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, ErrUnavailable):
		return &failure{errorUnavailable, err}
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return &failure{errorTimeout, err}
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return &failure{errorCanceled, err}
	case errors.As(err, &stored):
		return &failure{errorInternal, err}
	}
	return &failure{errorExecution, err}
}

func writeError(w http.ResponseWriter, err error) {
	f := failed(err)
	out := append([]byte(`{"status":"error","errorType":`), strconv.Quote(f.kind.name)...)
	out = append(out, `,"error":`...)
	out = append(appendString(out, f.Error()), '}')
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.kind.status)
	_, _ = w.Write(out)
}

func writeSuccess(w http.ResponseWriter, answer body) {
	out := append([]byte(`{"status":"success","data":`), answer.data...)
	if len(answer.warnings) > 0 {
		out = append(append(out, `,"warnings":`...), encodeStrings(answer.warnings)...)
	}
	if len(answer.infos) > 0 {
		out = append(append(out, `,"infos":`...), encodeStrings(answer.infos)...)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(out, '}'))
}

func encoded(value any) (body, error) {
	data, err := json.Marshal(value)
	return body{data: data}, err
}

// encodeValue encodes the result of a query. There are no native histograms in it,
// because the store has none.
func encodeValue(value parser.Value) []byte {
	out := append([]byte(`{"resultType":`), strconv.Quote(string(value.Type()))...)
	out = append(out, `,"result":`...)
	switch v := value.(type) {
	case promql.Scalar:
		out = appendPoint(out, v.T, v.V)
	case promql.String:
		out = append(appendTime(append(out, '['), v.T), ',')
		out = append(appendString(out, v.V), ']')
	case promql.Vector:
		out = append(out, '[')
		for i, sample := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendLabels(append(out, `{"metric":`...), sample.Metric)
			out = appendPoint(append(out, `,"value":`...), sample.T, sample.F)
			out = append(out, '}')
		}
		out = append(out, ']')
	case promql.Matrix:
		out = append(out, '[')
		for i, series := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendLabels(append(out, `{"metric":`...), series.Metric)
			out = append(out, `,"values":[`...)
			for j, point := range series.Floats {
				if j > 0 {
					out = append(out, ',')
				}
				out = appendPoint(out, point.T, point.F)
			}
			out = append(out, "]}"...)
		}
		out = append(out, ']')
	}
	return append(out, '}')
}

func encodeStrings(all []string) []byte {
	out := []byte{'['}
	for i, text := range all {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendString(out, text)
	}
	return append(out, ']')
}

func appendLabels(out []byte, all labels.Labels) []byte {
	out = append(out, '{')
	first := true
	all.Range(func(l labels.Label) {
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(appendString(out, l.Name), ':')
		out = appendString(out, l.Value)
	})
	return append(out, '}')
}

// appendPoint appends [1435781451.781,"1"].
func appendPoint(out []byte, at int64, value float64) []byte {
	out = append(appendTime(append(out, '['), at), `,"`...)
	return append(appendFloat(out, value), `"]`...)
}

// appendTime appends milliseconds as seconds.
func appendTime(out []byte, at int64) []byte {
	if at < 0 {
		out, at = append(out, '-'), -at
	}
	out = strconv.AppendInt(out, at/1000, 10)
	if fraction := at % 1000; fraction != 0 {
		out = fmt.Appendf(out, ".%03d", fraction)
	}
	return out
}

func appendFloat(out []byte, value float64) []byte {
	format := byte('f')
	if size := math.Abs(value); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(out, value, format, -1, 64)
}

func appendString(out []byte, text string) []byte {
	encoded, _ := json.Marshal(text) // a string cannot fail
	return append(out, encoded...)
}
