package target

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// origin is what a monitor selects.
type origin struct {
	service *Service // nil if a PodMonitor selects the pod
	pod     Pod
	port    uint16
}

// own returns the labels of the object that the monitor selects.
func (o origin) own() map[string]string {
	if o.service != nil {
		return o.service.Labels
	}
	return o.pod.Labels
}

// The meta labels of Prometheus' discovery in Kubernetes that relabelings can read
// (https://prometheus.io/docs/prometheus/latest/configuration/configuration/#kubernetes_sd_config).
const metaPrefix = "__meta_kubernetes_"

var (
	metaNames = []string{
		"namespace", "pod_name", "pod_ip", "pod_node_name", "pod_phase", "pod_container_name", "pod_container_port_name",
		"pod_container_port_number", "pod_container_port_protocol", "service_name", "endpoints_name", "endpoint_port_name",
		"endpointslice_port_name",
	}
	metaPrefixes = []string{
		"pod_label_", "pod_labelpresent_", "service_label_", "service_labelpresent_",
		"pod_annotation_prometheus_io_", "pod_annotationpresent_prometheus_io_",
	}
)

// unknownMeta returns the meta labels that rules read and that are always empty here.
func unknownMeta(rules Rules) (names []string) {
	for _, r := range rules {
		for _, source := range r.SourceLabels {
			name, meta := strings.CutPrefix(string(source), model.MetaLabelPrefix)
			of := strings.TrimPrefix(name, "kubernetes_")
			known := slices.Contains(metaNames, of) || slices.ContainsFunc(metaPrefixes, func(p string) bool { return strings.HasPrefix(of, p) })
			if meta && (!known || of == name) && !slices.Contains(names, string(source)) {
				names = append(names, string(source))
			}
		}
	}
	return names
}

// setMeta sets the meta labels of what a monitor selects.
func setMeta(b *labels.Builder, e Endpoint, o origin) {
	set := func(name, value string) {
		if value != "" {
			b.Set(metaPrefix+name, value)
		}
	}
	each := func(kind string, of map[string]string) {
		for name, value := range of {
			set(kind+"_"+labelName(name), value)
			set(kind+"present_"+labelName(name), "true")
		}
	}
	p := o.pod
	set("namespace", p.Namespace)
	set("pod_name", p.Name)
	set("pod_ip", p.Address.String())
	set("pod_node_name", p.Node)
	set("pod_phase", p.Phase)
	each("pod_label", p.Labels)
	each("pod_annotation", p.Annotations)
	set("pod_container_name", containerOf(p, o.port))
	set("pod_container_port_name", p.portName(o.port))
	set("pod_container_port_number", fmt.Sprint(o.port))
	set("pod_container_port_protocol", "TCP")
	if o.service == nil {
		return
	}
	set("service_name", o.service.Name)
	set("endpoints_name", o.service.Name)
	each("service_label", o.service.Labels)
	set("endpoint_port_name", e.Port)
	set("endpointslice_port_name", e.Port)
}

// portName returns the name of a port of a pod, "" if it has none.
func (p Pod) portName(number uint16) string {
	for _, c := range p.Containers {
		for _, port := range c.Ports {
			if port.Number == number {
				return port.Name
			}
		}
	}
	return ""
}

// setAddress sets the labels with which relabelings change what is requested.
func setAddress(b *labels.Builder, e Endpoint, o origin) {
	b.Set(model.AddressLabel, netip.AddrPortFrom(o.pod.Address, o.port).String())
	b.Set(model.SchemeLabel, e.Scheme)
	b.Set(model.MetricsPathLabel, e.Path)
	for name, values := range e.Parameters {
		if len(values) > 0 {
			b.Set(model.ParamLabelPrefix+name, values[0])
		}
	}
}

// readAddress applies what relabelings have changed of what is requested. The address of the
// pod stays.
func readAddress(b *labels.Builder, e *Endpoint, o *origin) error {
	at, err := netip.ParseAddrPort(b.Get(model.AddressLabel))
	if err != nil || at.Addr() != o.pod.Address || at.Port() == 0 {
		return fmt.Errorf("its relabelings may only change the port of %s", model.AddressLabel)
	}
	o.port = at.Port()
	e.Scheme, e.Path = b.Get(model.SchemeLabel), b.Get(model.MetricsPathLabel)
	parameters := url.Values{}
	for name, values := range e.Parameters {
		parameters[name] = slices.Clone(values)
	}
	b.Range(func(l labels.Label) {
		name, found := strings.CutPrefix(l.Name, model.ParamLabelPrefix)
		switch {
		case !found:
		case len(parameters[name]) == 0:
			parameters[name] = []string{l.Value}
		default:
			parameters[name][0] = l.Value
		}
	})
	e.Parameters = parameters
	return e.checkURL()
}

// relabel applies the relabelings of an endpoint to the labels of a target, and to what is
// requested. keep is false if they drop the target. note is a line for users.
func (e *Endpoint) relabel(b *labels.Builder, o *origin, fixed labels.Labels, work *Work) (keep bool, note string, err error) {
	if len(e.Relabelings) == 0 {
		return true, "", nil
	}
	setMeta(b, *e, *o)
	setAddress(b, *e, *o)
	if err := checkLabels(b, maxLabels); err != nil {
		return false, "", err
	}
	if keep, err = e.Relabelings.apply(b, work); !keep || err != nil {
		return false, "", err
	}
	if err := readAddress(b, e, o); err != nil {
		return false, "", err
	}
	removeReserved(b)
	b.Del(model.MetricNameLabel)
	if restore(b, fixed) {
		note = fmt.Sprintf("its relabelings do not change the labels %s", strings.Join(identity, ", "))
	}
	return true, note, checkLabels(b, maxSeriesLabels-podLabels)
}
