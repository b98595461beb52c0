package target

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	selection "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The kinds of the Prometheus operator that select what is scraped, of the API group
// monitoring.coreos.com (https://prometheus-operator.dev/docs/api-reference/api/).
const (
	MonitorGroup   = "monitoring.coreos.com"
	ServiceMonitor = "ServiceMonitor"
	PodMonitor     = "PodMonitor"
)

// Bounds of a monitor.
const (
	maxEndpoints     = 20
	maxCopiedLabels  = 20
	maxParameters    = 1024 // bytes
	longestRounds    = 16   // from one request to the next: queries look back 5 minutes
	maxMonitorReason = 300  // bytes
)

// Monitor is the part of a ServiceMonitor or a PodMonitor that is used.
type Monitor struct {
	Kind, Namespace, Name string
	// Namespaces are those of what it selects; nil means all.
	Namespaces []string
	Selector   selection.Selector
	Endpoints  []Endpoint
	// JobLabel is the label of the service or pod whose value becomes the job, "" if none.
	JobLabel string
	// ServiceLabels and PodLabels are copied to the series.
	ServiceLabels, PodLabels []string
	// Samples and Labels are further bounds of an answer and of a series; 0 means none.
	Samples, Labels int
	// Problems describe what is not done as the monitor asks for.
	Problems []string
}

// Endpoint is what a monitor scrapes of each pod.
type Endpoint struct {
	// One of these is set: Port is the name of a port of the service or the pod. TargetPort
	// is the name of a port of the pod, even if a service is selected, and Number its number.
	Port, TargetPort string
	Number           uint16
	Scheme, Path     string
	Parameters       url.Values
	// Unverified is set if certificates need not be verified.
	Unverified bool
	// Every is the number of rounds from one request to the next.
	Every int
	// Relabelings change the labels of targets, and MetricRelabelings those of series.
	Relabelings, MetricRelabelings Rules
	// Index is its position in the monitor, from 0.
	Index int
}

// monitorSpec is the part of a monitor's spec that is read.
type monitorSpec struct {
	JobLabel          string               `json:"jobLabel"`
	TargetLabels      []string             `json:"targetLabels"`
	PodTargetLabels   []string             `json:"podTargetLabels"`
	Selector          metav1.LabelSelector `json:"selector"`
	NamespaceSelector struct {
		Any        bool     `json:"any"`
		MatchNames []string `json:"matchNames"`
	} `json:"namespaceSelector"`
	SampleLimit int               `json:"sampleLimit"`
	LabelLimit  int               `json:"labelLimit"`
	Endpoints   []json.RawMessage `json:"endpoints"`
	PodEndpoint []json.RawMessage `json:"podMetricsEndpoints"`
}

// endpointSpec is the part of an endpoint that is read.
type endpointSpec struct {
	Port       string              `json:"port"`
	PortNumber int                 `json:"portNumber"`
	TargetPort *intstr.IntOrString `json:"targetPort"`
	Path       string              `json:"path"`
	Scheme     string              `json:"scheme"`
	Interval   string              `json:"interval"`
	Params     url.Values          `json:"params"`
	TLSConfig  struct {
		InsecureSkipVerify bool `json:"insecureSkipVerify"`
	} `json:"tlsConfig"`
	Relabelings       []ruleSpec `json:"relabelings"`
	MetricRelabelings []ruleSpec `json:"metricRelabelings"`
}

// Fields of endpoints that are not followed. With one of the first, an endpoint is not
// scraped: nothing secret is ever sent to a pod.
var (
	refusedFields = []string{"authorization", "basicAuth", "bearerTokenFile", "bearerTokenSecret", "oauth2", "proxyUrl"}
	ignoredFields = []string{"honorLabels"}
)

// ParseMonitor reads a monitor from its spec in JSON, which users of the cluster wrote. What
// cannot be followed becomes one of its Problems.
func ParseMonitor(kind, namespace, name string, spec []byte) Monitor {
	m := Monitor{Kind: kind, Namespace: namespace, Name: name, Namespaces: []string{namespace}, Selector: selection.Nothing()}
	var s monitorSpec
	if err := json.Unmarshal(spec, &s); err != nil {
		m.problem("its spec cannot be read: %v", err)
		return m
	}
	selector, err := metav1.LabelSelectorAsSelector(&s.Selector)
	if err != nil {
		m.problem("its selector is invalid: %v", err)
		return m
	}
	m.Selector = selector
	switch {
	case s.NamespaceSelector.Any:
		m.Namespaces = nil
	case len(s.NamespaceSelector.MatchNames) > 0:
		m.Namespaces = s.NamespaceSelector.MatchNames
	}
	m.JobLabel = s.JobLabel
	m.ServiceLabels, m.PodLabels = firstOf(s.TargetLabels, maxCopiedLabels), firstOf(s.PodTargetLabels, maxCopiedLabels)
	m.Samples, m.Labels = max(s.SampleLimit, 0), max(s.LabelLimit, 0)
	endpoints := s.Endpoints
	if kind == PodMonitor {
		endpoints = s.PodEndpoint
	}
	if len(endpoints) > maxEndpoints {
		m.problem("it has more than %d endpoints; the others are not scraped", maxEndpoints)
	}
	rules := 0
	for i, text := range firstOf(endpoints, maxEndpoints) {
		e, ignored, err := parseEndpoint(kind, text)
		rules += len(e.Relabelings) + len(e.MetricRelabelings)
		if err == nil && rules > maxRules {
			err = fmt.Errorf("the monitor has more than %d relabelings", maxRules)
		}
		if err != nil {
			m.problem("endpoint %d is not scraped: %v", i, err)
			continue
		}
		e.Index = i
		if len(ignored) > 0 {
			m.problem("endpoint %d: %s ignored", i, strings.Join(ignored, ", "))
		}
		if empty := unknownMeta(e.Relabelings); len(empty) > 0 {
			m.problem("endpoint %d: relabelings read %s, always empty here", i, strings.Join(empty, ", "))
		}
		m.Endpoints = append(m.Endpoints, e)
	}
	return m
}

func (m *Monitor) problem(format string, arguments ...any) {
	text := strings.ToValidUTF8(fmt.Sprintf(format, arguments...), "")
	m.Problems = append(m.Problems, text[:min(len(text), maxMonitorReason)])
}

// title names the monitor for users.
func (m Monitor) title() string { return fmt.Sprintf("%s %s/%s", m.Kind, m.Namespace, m.Name) }

// parseEndpoint returns an endpoint, and its fields that are ignored.
func parseEndpoint(kind string, text []byte) (e Endpoint, ignored []string, err error) {
	var s endpointSpec
	if err := json.Unmarshal(text, &s); err != nil {
		return e, nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return e, nil, err
	}
	for _, field := range refusedFields {
		if !empty(fields[field]) {
			return e, nil, fmt.Errorf("%s is not supported", field)
		}
	}
	for _, field := range ignoredFields {
		if !empty(fields[field]) {
			ignored = append(ignored, field)
		}
	}
	if e.Every, err = rounds(s.Interval); err != nil {
		return e, nil, err
	}
	if err := e.setURL(s); err != nil {
		return e, nil, err
	}
	if e.Relabelings, err = parseRules("relabelings", s.Relabelings); err != nil {
		return e, nil, err
	}
	if e.MetricRelabelings, err = parseRules("metricRelabelings", s.MetricRelabelings); err != nil {
		return e, nil, err
	}
	return e, ignored, e.setPort(kind, s)
}

// rounds returns how many rounds apart requests are for an interval.
func rounds(interval string) (int, error) {
	if interval == "" {
		return everyRound, nil
	}
	d, err := model.ParseDuration(interval)
	if err != nil {
		return 0, fmt.Errorf("its interval %.20q is not a duration such as 30s", interval)
	}
	return int(min(max((time.Duration(d)+Period/2)/Period, everyRound), longestRounds)), nil
}

func (e *Endpoint) setURL(s endpointSpec) error {
	e.Scheme, e.Path, e.Parameters, e.Unverified = strings.ToLower(s.Scheme), s.Path, s.Params, s.TLSConfig.InsecureSkipVerify
	if e.Scheme == "" {
		e.Scheme = "http"
	}
	if e.Path == "" {
		e.Path = defaultPodsPath
	}
	return e.checkURL()
}

// checkURL returns an error if an endpoint must not be requested.
func (e *Endpoint) checkURL() error {
	switch {
	case e.Scheme != "http" && e.Scheme != "https":
		return fmt.Errorf("its scheme is %.20q: it must be http or https", e.Scheme)
	case e.Scheme == "https" && !e.Unverified:
		return fmt.Errorf("certificates cannot be verified; set tlsConfig.insecureSkipVerify to scrape it nevertheless")
	case !strings.HasPrefix(e.Path, "/") || len(e.Path) > maxPath:
		return fmt.Errorf("its path must begin with / and have at most %d bytes", maxPath)
	case len(e.Parameters.Encode()) > maxParameters:
		return fmt.Errorf("its params have more than %d bytes", maxParameters)
	}
	return nil
}

func (e *Endpoint) setPort(kind string, s endpointSpec) error {
	number := s.PortNumber
	switch {
	case s.Port != "":
		e.Port = s.Port
		return nil
	case kind == PodMonitor && number != 0:
	case s.TargetPort != nil && s.TargetPort.Type == intstr.String && s.TargetPort.StrVal != "":
		e.TargetPort = s.TargetPort.StrVal
		return nil
	case s.TargetPort != nil && s.TargetPort.Type == intstr.Int:
		number = s.TargetPort.IntValue()
	}
	if number < 1 || number > 65535 {
		return fmt.Errorf("it names no port")
	}
	e.Number = uint16(number)
	return nil
}

// empty reports whether a JSON value is a zero value, which programs write as a default.
func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, inner := range v {
			if !empty(inner) {
				return false
			}
		}
		return true
	}
	return false
}

func firstOf[T any](all []T, n int) []T { return slices.Clip(all[:min(len(all), n)]) }
