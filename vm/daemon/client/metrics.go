package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// maxMetrics bounds an answer about metrics, in bytes.
const maxMetrics = 8 << 20

// Measure evaluates an expression in PromQL over the metrics that the daemon has recorded
// in the last span, at the given number of points. It returns the values of the first
// series, NaN where it has none.
func (c *Client) Measure(ctx context.Context, expression string, span time.Duration, points int) ([]float64, error) {
	step := span / time.Duration(points)
	// Aligned, so that repeated queries are about the same times.
	end := time.Now().Truncate(step)
	begin := end.Add(-step * time.Duration(points-1))
	parameters := url.Values{
		"query": {expression}, "start": {seconds(begin)}, "end": {seconds(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, daemonURL+daemonapi.PathMetrics+"/api/v1/query_range?"+parameters.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNotFound {
		return nil, errors.New("no metrics are recorded")
	}
	return decodeRange(io.LimitReader(response.Body, maxMetrics), begin, step, points)
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// decodeRange decodes the first series of an answer of Prometheus' API.
func decodeRange(from io.Reader, begin time.Time, step time.Duration, points int) ([]float64, error) {
	var answer struct {
		Error string
		Cause string // of a daemonapi.Failure
		Data  struct {
			Result []struct{ Values [][2]any }
		}
	}
	if err := json.NewDecoder(from).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read the recorded metrics: %w", err)
	}
	if message := answer.Error + answer.Cause; message != "" {
		return nil, errors.New(message)
	}
	values := make([]float64, points)
	for i := range values {
		values[i] = math.NaN()
	}
	if len(answer.Data.Result) == 0 {
		return values, nil
	}
	for _, sample := range answer.Data.Result[0].Values {
		at, _ := sample[0].(float64)
		text, _ := sample[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		i := math.Round((at - float64(begin.UnixMilli())/1000) / step.Seconds())
		if err == nil && i >= 0 && i < float64(points) && !math.IsInf(value, 0) {
			values[int(i)] = value
		}
	}
	return values, nil
}
