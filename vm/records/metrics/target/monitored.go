package target

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	selection "k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-dev/skiff/vm/records/metrics/exposition"
)

// Service is the part of a service that is used.
type Service struct {
	Namespace, Name  string
	Labels, Selector map[string]string
	Ports            []ServicePort
}

// ServicePort is a port of a service. Target is the name of the port of its pods. If it is
// empty, Number is the number of that port.
type ServicePort struct {
	Name, Target string
	Number       uint16
}

// selects reports whether a monitor concerns an object.
func (m Monitor) selects(namespace string, own map[string]string) bool {
	return (m.Namespaces == nil || slices.Contains(m.Namespaces, namespace)) && m.Selector.Matches(selection.Set(own))
}

// OfMonitors returns the targets of running pods that monitors select, at most one more than
// MaxPodTargets, and a line for users for each monitor that is followed only in part.
// These are notes, not problems: charts bring monitors that only an operator could follow.
func OfMonitors(monitors []Monitor, services []Service, pods []Pod, network Network) (all []Target, notes []string) {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p Pod) bool { return p.Phase != "Running" || !network.reaches(p) })
	left := monitorsWork
	for _, m := range monitors {
		share := min(left, monitorWork)
		work := share
		selected := ofPodMonitor
		if m.Kind == ServiceMonitor {
			selected = ofServiceMonitor
		}
		found, missed := selected(m, services, pods, &work)
		left -= share - work
		all = append(all, found...)
		if missed = append(slices.Clone(m.Problems), missed...); len(missed) > 0 {
			notes = append(notes, m.title()+": "+strings.Join(missed, "; "))
		}
		if len(all) > MaxPodTargets {
			return all[:MaxPodTargets+1], notes
		}
	}
	return all, notes
}

func ofServiceMonitor(m Monitor, services []Service, pods []Pod, work *Work) (all []Target, missed []string) {
	for _, s := range services {
		if !m.selects(s.Namespace, s.Labels) {
			continue
		}
		if len(s.Selector) == 0 {
			missed = append(missed, fmt.Sprintf("service %s/%s has no selector, and only pods are scraped", s.Namespace, s.Name))
			continue
		}
		for _, p := range pods {
			if p.Namespace != s.Namespace || !selection.SelectorFromValidatedSet(s.Selector).Matches(selection.Set(p.Labels)) {
				continue
			}
			found, notes := m.targets(origin{service: &s, pod: p}, work)
			all, missed = append(all, found...), withNew(missed, notes)
		}
	}
	return all, missed
}

func ofPodMonitor(m Monitor, _ []Service, pods []Pod, work *Work) (all []Target, missed []string) {
	for _, p := range pods {
		if m.selects(p.Namespace, p.Labels) {
			found, notes := m.targets(origin{pod: p}, work)
			all, missed = append(all, found...), withNew(missed, notes)
		}
	}
	return all, missed
}

// withNew adds the lines that are not among all yet: most are the same for each pod.
func withNew(all, lines []string) []string {
	for _, line := range lines {
		if !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	return all
}

// targets returns the targets of a pod that a monitor selects. The port of the origin is
// not set yet.
func (m Monitor) targets(o origin, work *Work) (all []Target, missed []string) {
	for _, e := range m.Endpoints {
		if o.service != nil {
			o.port = e.portOfService(*o.service, o.pod)
		} else {
			o.port = e.portOfPod(o.pod)
		}
		if o.port == 0 {
			continue
		}
		t, keep, note, err := m.target(e, o, work)
		switch {
		case err != nil:
			missed = append(missed, fmt.Sprintf("endpoint %d is not scraped: %v", e.Index, err))
		case keep:
			all = append(all, t)
		}
		if note != "" {
			missed = append(missed, fmt.Sprintf("endpoint %d: %s", e.Index, note))
		}
	}
	return all, missed
}

// portOfService returns the port of a service's pod that an endpoint means, 0 if it has none.
func (e Endpoint) portOfService(s Service, p Pod) uint16 {
	if e.Port == "" {
		return e.portOfPod(p)
	}
	for _, port := range s.Ports {
		switch {
		case port.Name != e.Port:
		case port.Target != "":
			return p.port(port.Target)
		default:
			return port.Number
		}
	}
	return 0
}

// portOfPod returns the port of a pod that an endpoint means, 0 if it has none.
func (e Endpoint) portOfPod(p Pod) uint16 {
	if e.Number != 0 {
		return e.Number
	}
	return p.port(e.Port + e.TargetPort) // one of them is empty
}

// port returns a port by its name, 0 if there is none.
func (p Pod) port(name string) uint16 {
	for _, c := range p.Containers {
		for _, port := range c.Ports {
			if port.Name == name {
				return port.Number
			}
		}
	}
	return 0
}

// target returns the target of an endpoint. keep is false if relabelings drop it, and note
// is a line for users.
func (m Monitor) target(e Endpoint, o origin, work *Work) (t Target, keep bool, note string, err error) {
	own := podTarget(o.pod, containerOf(o.pod, o.port), e.Scheme, o.port, e.Path)
	b := m.labels(e, o, own.Labels)
	if keep, note, err = e.relabel(b, &o, own.Labels, work); !keep || err != nil {
		return t, false, note, err
	}
	host := netip.AddrPortFrom(o.pod.Address, o.port).String()
	if b.Get("instance") == "" {
		b.Set("instance", host)
	}
	at := url.URL{Scheme: e.Scheme, Host: host, Path: e.Path, RawQuery: e.Parameters.Encode()}
	t = own
	t.URL, t.Labels, t.Every, t.Rules, t.Limits = at.String(), b.Labels(), e.Every, e.MetricRelabelings, bounded(own.Limits, m)
	return t, true, note, nil
}

// labels returns the labels of a target before its relabelings. Labels of users do not
// replace those that identify where a series comes from, which are in fixed.
func (m Monitor) labels(e Endpoint, o origin, fixed labels.Labels) *labels.Builder {
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, value := range copied(m.PodLabels, o.pod.Labels) {
		b.Set(name, value)
	}
	if o.service != nil {
		for name, value := range copied(m.ServiceLabels, o.service.Labels) {
			b.Set(name, value)
		}
	}
	fixed.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	b.Del("instance")
	if o.service != nil {
		b.Set("service", o.service.Name)
		b.Set("job", o.service.Name)
	} else {
		b.Set("job", m.Namespace+"/"+m.Name)
	}
	if value := o.own()[m.JobLabel]; m.JobLabel != "" && value != "" {
		b.Set("job", value)
	}
	if name := e.Port + e.TargetPort; name != "" {
		b.Set("endpoint", name)
	} else {
		b.Set("endpoint", fmt.Sprint(e.Number))
	}
	return b
}

// bounded applies the bounds of a monitor to those of all pods.
func bounded(l exposition.Limits, m Monitor) exposition.Limits {
	if m.Samples > 0 {
		l.Samples = min(l.Samples, m.Samples)
	}
	if m.Labels > 0 {
		l.Labels = min(l.Labels, m.Labels)
	}
	return l
}

// copied returns the labels with the given names, as labels of series.
func copied(names []string, from map[string]string) map[string]string {
	found := map[string]string{}
	for _, name := range names {
		if value := from[name]; value != "" {
			found[labelName(name)] = value
		}
	}
	return found
}

// labelName returns the name in Prometheus of a label of Kubernetes.
func labelName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// maxLines is how many lines about pods or about monitors are listed.
const maxLines = 5

// Listed returns the first of many lines about pods or monitors, with one about the others.
func Listed(lines []string) []string {
	if len(lines) <= maxLines {
		return lines
	}
	return append(slices.Clone(lines[:maxLines]), fmt.Sprintf("%d more of these are not listed", len(lines)-maxLines))
}
