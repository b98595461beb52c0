package store

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/app/vlselect/logsql"
	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/timeutil"
)

const (
	// firstPart is which fraction of a time range is searched first for the newest entries,
	// and growth how many times longer than the one before each further part is.
	firstPart, growth = 4096, 4
	// shortestPart is the least length of a part.
	shortestPart = time.Second
	// usualRange is the length that is divided into parts if a search has no beginning. What
	// is older is one more part.
	usualRange = 7 * 24 * time.Hour
)

// search answers a query. To find the newest entries, the library would halve the time range
// until few enough are left, which takes many queries if there are none at its end. Here the
// range is searched in parts, from its end on, until there are enough, so that no entry is
// read twice and few that are not sent (docs/decisions/0012).
func search(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	wanted, ok := newestOf(r, time.Now())
	if !ok {
		logsql.ProcessQueryRequest(ctx, w, r)
		return
	}
	sent := &lineCounter{ResponseWriter: w}
	for _, p := range wanted.parts() {
		if sent.lines >= wanted.limit || sent.failed || ctx.Err() != nil {
			return
		}
		part := r.WithContext(ctx)
		part.Form = wanted.form(p, wanted.limit-sent.lines)
		logsql.ProcessQueryRequest(ctx, sent, part)
	}
}

// newest is a search for the newest entries.
type newest struct {
	parameters url.Values // of the request
	text       string     // the query
	at         int64      // to which relative times in it refer, in ns
	limit      int
	start, end int64 // in ns, end exclusive; 0 if there is none
	now        int64
}

// newestOf returns what a request searches for. ok is false if that is something else than
// the newest entries, or invalid.
func newestOf(r *http.Request, now time.Time) (search newest, ok bool) {
	limit, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil || limit <= 0 {
		return newest{}, false
	}
	for _, name := range []string{"offset", "format", "step", "ignore_pipes"} {
		if r.FormValue(name) != "" {
			return newest{}, false
		}
	}
	search = newest{parameters: r.Form, limit: limit, now: now.UnixNano(), at: now.UnixNano()}
	for name, into := range map[string]*int64{"start": &search.start, "end": &search.end} {
		if text := r.FormValue(name); text != "" {
			if *into, err = timeutil.ParseTimeAt(text, search.now); err != nil || *into <= 0 {
				return newest{}, false
			}
		}
	}
	if search.end != 0 {
		search.at = search.end - 1
	}
	if text := r.FormValue("time"); text != "" {
		if search.at, err = timeutil.ParseTimeAt(text, search.now); err != nil {
			return newest{}, false
		}
	}
	parsed, err := logstorage.ParseQueryAtTimestamp(r.FormValue("query"), search.at)
	if err != nil || !parsed.CanReturnLastNResults() {
		return newest{}, false
	}
	search.text = parsed.String()
	return search, true
}

// part is a part of a time range, in ns; 0 if it has no bound.
type part struct{ start, end int64 }

// parts returns parts that make up the time range, the newest first.
func (n newest) parts() []part {
	start, end := n.start, n.end
	if end == 0 {
		end = n.now
	}
	if start == 0 {
		start = end - int64(usualRange)
	}
	var all []part
	upper := n.end
	for length := max((end-start)/firstPart, int64(shortestPart)); end-length > start; length *= growth {
		end -= length
		all = append(all, part{end, upper})
		upper = end
	}
	return append(all, part{n.start, upper})
}

// form returns the parameters of a request for at most limit entries of a part. The library
// does not recognize the order as one by time alone, so it reads the part once.
func (n newest) form(p part, limit int) url.Values {
	form := maps.Clone(n.parameters)
	form.Del("limit")
	form.Set("query", n.text+" | sort by (_time desc, _stream_id) limit "+strconv.Itoa(limit))
	form.Set("time", strconv.FormatInt(n.at, 10))
	for name, bound := range map[string]int64{"start": p.start, "end": p.end} {
		form.Del(name)
		if bound != 0 {
			form.Set(name, strconv.FormatInt(bound, 10))
		}
	}
	return form
}

// lineCounter counts the lines of an answer.
type lineCounter struct {
	http.ResponseWriter
	lines  int
	failed bool
}

// WriteHeader notes whether the answer is an error.
func (c *lineCounter) WriteHeader(status int) {
	c.failed = c.failed || status >= http.StatusBadRequest
	c.ResponseWriter.WriteHeader(status)
}

// Write counts the lines in data.
func (c *lineCounter) Write(data []byte) (int, error) {
	c.lines += bytes.Count(data, []byte{'\n'})
	return c.ResponseWriter.Write(data)
}
