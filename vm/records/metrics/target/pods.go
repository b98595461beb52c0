package target

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/skiff-dev/skiff/vm/records/metrics/exposition"
)

// The annotations by which a pod asks to be scraped, as many charts set them.
const (
	AnnotationScrape = "prometheus.io/scrape"
	AnnotationPort   = "prometheus.io/port"
	AnnotationPath   = "prometheus.io/path"
	AnnotationScheme = "prometheus.io/scheme"
)

// Bounds of what pods export.
const (
	// MaxPodTargets is how many addresses of pods are asked.
	MaxPodTargets   = 50
	maxPortsPerPod  = 5
	maxPath         = 512
	podSamples      = 2000
	podSeries       = 3000 // that begin in an hour
	podMaxBytes     = 4 << 20
	podLabels       = 30
	podLabelBytes   = 512
	defaultPodsPath = "/metrics"
)

// Pod is what is known of a pod.
type Pod struct {
	Namespace, Name, Node string
	// Address is invalid while the pod has none.
	Address netip.Addr
	// Phase is as in the API: "Running".
	Phase               string
	Annotations, Labels map[string]string
	Containers          []Container
}

// Container of a pod.
type Container struct {
	Name  string
	Ports []Port
	// Restarts so far, and why it last ended and waits now; empty if it did or does not.
	Restarts                   int
	LastTerminated, WaitingFor string
	Ready                      bool
	// Requests and Limits in cores and bytes, by resource.
	Requests, Limits map[string]float64
}

// Port of a container, for TCP.
type Port struct {
	Name   string
	Number uint16
}

// Network is where pods can be.
type Network struct {
	Pods  netip.Prefix
	Nodes map[string]netip.Addr // addresses of nodes, by name
}

// reaches reports whether a pod has an address of its own, or that of its own node. A
// node reports the addresses of its pods, and must not direct requests elsewhere.
func (n Network) reaches(p Pod) bool {
	return p.Address.IsValid() && (n.Pods.Contains(p.Address) || n.Nodes[p.Node] == p.Address)
}

// TooManyTargets is the problem of more than MaxPodTargets targets.
var TooManyTargets = fmt.Sprintf("more than %d addresses of pods ask to be scraped; the others are not", MaxPodTargets)

// OfPods returns the targets of running pods that ask to be scraped by annotation, and a
// line for users for each pod whose annotations are wrong.
func OfPods(pods []Pod, network Network) (all []Target, problems []string) {
	for _, p := range pods {
		if p.Annotations[AnnotationScrape] != "true" || p.Phase != "Running" || !network.reaches(p) {
			continue
		}
		targets, err := ofPod(p)
		if err != nil {
			problems = append(problems, fmt.Sprintf("pod %s/%s is not scraped: %v", p.Namespace, p.Name, err))
		}
		all = append(all, targets...)
	}
	return all, problems
}

// ofPod returns the targets of an annotated pod: the port of its annotation, or else all
// ports of its containers.
func ofPod(p Pod) ([]Target, error) {
	scheme := p.Annotations[AnnotationScheme]
	if scheme == "" {
		scheme = "http"
	}
	if scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("the annotation %s is %q: it must be http or https", AnnotationScheme, scheme)
	}
	path := p.Annotations[AnnotationPath]
	if path == "" {
		path = defaultPodsPath
	}
	if !strings.HasPrefix(path, "/") || len(path) > maxPath {
		return nil, fmt.Errorf("the annotation %s must begin with / and have at most %d bytes", AnnotationPath, maxPath)
	}
	if text := p.Annotations[AnnotationPort]; text != "" {
		number, err := strconv.ParseUint(text, 10, 16)
		if err != nil || number == 0 {
			return nil, fmt.Errorf("the annotation %s is %q: it must be a port number", AnnotationPort, text)
		}
		port := uint16(number)
		return []Target{podTarget(p, containerOf(p, port), scheme, port, path)}, nil
	}
	var all []Target
	for _, c := range p.Containers {
		for _, port := range c.Ports {
			if len(all) < maxPortsPerPod {
				all = append(all, podTarget(p, c.Name, scheme, port.Number, path))
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("it declares no port; set the annotation %s", AnnotationPort)
	}
	return all, nil
}

// containerOf returns the container that declares a port, the only one otherwise, or "".
func containerOf(p Pod, port uint16) string {
	for _, c := range p.Containers {
		for _, declared := range c.Ports {
			if declared.Number == port {
				return c.Name
			}
		}
	}
	if len(p.Containers) == 1 {
		return p.Containers[0].Name
	}
	return ""
}

func podTarget(p Pod, container, scheme string, port uint16, path string) Target {
	at := netip.AddrPortFrom(p.Address, port).String()
	address := url.URL{Scheme: scheme, Host: at, Path: path}
	return Target{
		URL: address.String(), Every: everyRound, MaxBytes: podMaxBytes, MaxBegun: podSeries,
		Labels: labels.FromMap(map[string]string{
			"job": JobPods, "instance": at, "namespace": p.Namespace, "pod": p.Name, "container": container, "node": p.Node,
		}),
		Limits: exposition.Limits{Samples: podSamples, Labels: podLabels, LabelBytes: podLabelBytes},
	}
}
