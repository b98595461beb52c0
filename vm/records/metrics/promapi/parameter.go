package promapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// The range of times that are accepted, in milliseconds.
const (
	minTime = math.MinInt64 / 1000 / 1000
	maxTime = math.MaxInt64 / 1000 / 1000
)

// timeOr returns the time in a parameter, or another one if it is not given.
func timeOr(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	text := r.FormValue(name)
	if text == "" {
		return otherwise, nil
	}
	at, err := parseTime(text)
	if err != nil {
		return at, bad(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return at, nil
}

// parseTime parses a Unix time in seconds or a time of RFC 3339.
func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(seconds) || seconds*1000 < minTime || seconds*1000 > maxTime {
			return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", text)
		}
		whole, fraction := math.Modf(seconds)
		return time.Unix(int64(whole), int64(math.Round(fraction*1000)*1e6)).UTC(), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", text)
}

// parseDuration parses seconds or a duration such as 5m.
func parseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		nanoseconds := seconds * float64(time.Second)
		if math.IsNaN(nanoseconds) || math.Abs(nanoseconds) > math.MaxInt64 {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", text)
		}
		return time.Duration(nanoseconds), nil
	}
	if duration, err := model.ParseDuration(text); err == nil {
		return time.Duration(duration), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", text)
}

// parseLimit returns the parameter limit; 0 means that there is none.
func parseLimit(r *http.Request) (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return 0, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil {
		return 0, bad("limit", err)
	}
	if limit < 0 {
		return 0, bad("limit", errors.New("limit must be non-negative"))
	}
	return limit, nil
}
