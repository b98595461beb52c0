package metrics

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/records/metrics/promapi"
	"github.com/skiff-dev/skiff/vm/records/metrics/scrape"
	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

const (
	// atOnce is how many targets are asked at the same time.
	atOnce = 16
	// longestBackoff is the most rounds that a target of pods is left alone because it
	// failed, so that targets that hang do not delay all others.
	longestBackoff = 8
	// idleLimit keeps a connection from one round to the next.
	idleLimit = 2 * Period
	// maxHeaders bounds the headers of an answer, in bytes.
	maxHeaders = 64 << 10
	// machinesEvery is the number of rounds from one look at the machines to the next:
	// reading their memory costs more than all the rest.
	machinesEvery = 2
)

// rounds is what the recorder remembers from one round to the next.
type rounds struct {
	config   Config
	clients  map[target.Identity]*http.Client
	scrapers map[string]*scraper
	state    scrape.Own
	machines scrape.Own
	number   int
}

// remarks are lines for users about their annotations and monitors.
type remarks struct{ problems, notes []string }

// objects are the objects of the cluster that determine the targets.
type objects struct {
	pods     []target.Pod
	monitors []target.Monitor
}

// scraper is a target that is asked.
type scraper struct {
	scrape.Scraper
	last   scrape.Result
	next   int // the round in which it is asked again
	failed int // how often in succession
}

// planned notes the result of a request and decides in which round the next one is.
func (s *scraper) planned(round int, result scrape.Result) {
	s.last, s.next = result, round+s.Target.Every
	if result.Err == nil || s.Target.Identity != target.Anonymous {
		s.failed = 0
		return
	}
	s.failed++
	s.next = round + max(min(s.failed, longestBackoff), s.Target.Every)
}

func newRounds(config Config) *rounds {
	// A connection is made to its end even if the request that needs it has ended.
	type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)
	whole := func(dial dialFunc) dialFunc {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, scrape.Limit)
			defer cancel()
			return dial(ctx, network, address)
		}
	}
	transport := func() *http.Transport {
		return &http.Transport{
			DialContext: whole(config.Dial), IdleConnTimeout: idleLimit, MaxIdleConnsPerHost: 2,
			MaxResponseHeaderBytes: maxHeaders, DisableCompression: true, ResponseHeaderTimeout: scrape.Limit,
		}
	}
	recorder, anonymous := transport(), transport()
	if config.DialTLS != nil {
		recorder.DialTLSContext = whole(config.DialTLS)
	}
	anonymous.TLSHandshakeTimeout = scrape.Limit
	anonymous.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // targets are addressed by IP, and nothing secret is sent
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &rounds{
		config: config, scrapers: map[string]*scraper{},
		clients: map[target.Identity]*http.Client{
			target.Recorder: {Transport: recorder, CheckRedirect: stay}, target.Anonymous: {Transport: anonymous, CheckRedirect: stay},
		},
	}
}

func (r *rounds) close() {
	for _, client := range r.clients {
		client.CloseIdleConnections()
	}
}

// record asks all targets whose turn it is and appends their answers and what the host
// knows itself. It returns how all targets last answered, and lines for users. The
// error is that of the store.
func (r *rounds) record(ctx context.Context, now time.Time, to scrape.Store, from objects, describe func(string, string, string)) (map[string]targetResult, remarks, error) {
	r.number++
	fromPods, lines := r.ofPods(from)
	failed := r.follow(ctx, now, to, append(target.OfNodes(r.config.Nodes(ctx)), fromPods...), describe)
	failed = append(failed, r.ask(ctx, now, to)...)
	failed = append(failed, r.state.Append(ctx, now, target.State(from.pods, r.config.Ready(), r.config.Network()), to))
	if r.number%machinesEvery == 1 {
		failed = append(failed, r.machines.Append(ctx, now, target.OfMachines(r.config.Machines(ctx)), to))
	}
	results := map[string]targetResult{}
	for key, s := range r.scrapers {
		results[key] = targetResult{s.Target, s.last}
	}
	return results, lines, errors.Join(failed...)
}

// ofPods returns the targets of pods, and lines for users.
func (r *rounds) ofPods(from objects) ([]target.Target, remarks) {
	network := r.config.Network()
	all, problems := target.OfPods(from.pods, network)
	var notes []string
	if len(from.monitors) > 0 {
		var monitored []target.Target
		monitored, notes = target.OfMonitors(from.monitors, r.config.Services(), from.pods, network)
		all = append(all, monitored...)
	}
	problems = target.Listed(problems)
	if len(all) > target.MaxPodTargets {
		all, problems = all[:target.MaxPodTargets], append(problems, target.TooManyTargets)
	}
	return all, remarks{problems, target.Listed(notes)}
}

// follow makes the scrapers those of the targets, and marks the end of others.
func (r *rounds) follow(ctx context.Context, now time.Time, to scrape.Store, targets []target.Target, describe func(string, string, string)) []error {
	wanted := map[string]bool{}
	for _, t := range targets {
		key := t.Key()
		wanted[key] = true
		if r.scrapers[key] == nil {
			r.scrapers[key] = &scraper{Scraper: scrape.Scraper{Client: r.clients[t.Identity], Describe: describe}, next: r.number}
		}
		r.scrapers[key].Target = t // its interval and bounds may have changed
	}
	var failed []error
	for key, s := range r.scrapers {
		if !wanted[key] {
			failed = append(failed, s.End(ctx, now, to))
			delete(r.scrapers, key)
		}
	}
	return failed
}

// ask asks the targets whose turn it is.
func (r *rounds) ask(ctx context.Context, now time.Time, to scrape.Store) []error {
	var all sync.WaitGroup
	var mu sync.Mutex // guards failed
	var failed []error
	free := make(chan struct{}, atOnce)
	for _, s := range r.due() {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			result, err := s.Scrape(ctx, now, to)
			s.planned(r.number, result)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	all.Wait()
	return failed
}

// due returns the targets whose turn it is, the cluster's own first.
func (r *rounds) due() []*scraper {
	var own, others []*scraper
	for _, s := range r.scrapers {
		switch {
		case s.next > r.number:
		case s.Target.Identity == target.Recorder:
			own = append(own, s)
		default:
			others = append(others, s)
		}
	}
	return append(own, others...)
}

// maxDescribed bounds the metrics whose type and help are remembered.
const maxDescribed = 2000

// describe remembers the type or the help of a metric.
func (r *Recorder) describe(metric, kind, help string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, known := r.metadata[metric]
	if !known && len(r.metadata) >= maxDescribed {
		return
	}
	if kind != "" {
		m.Type = kind
	}
	if help != "" {
		m.Help = help[:min(len(help), 512)]
	}
	r.metadata[metric] = m
}

// described returns the types and help texts.
func (r *Recorder) described() map[string]promapi.Metadata {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.metadata)
}
