package address

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Index finds the addresses of a Service or an Ingress.
type Index struct{ services, ingresses map[string][]Address }

// NewIndex returns the index of a cluster's addresses.
func NewIndex(all daemonapi.Services) Index {
	i := Index{services: map[string][]Address{}, ingresses: map[string][]Address{}}
	for _, a := range List(all) {
		key := a.Namespace + "/" + a.Name
		switch a.Kind {
		case Port, HTTPRoute:
		case Ingress:
			i.ingresses[key] = append(i.ingresses[key], a)
		default:
			i.services[key] = append(i.services[key], a)
		}
	}
	return i
}

// Of returns the addresses of an object of the resource "services" or "ingresses".
func (i Index) Of(resource, namespace, name string) []Address {
	if resource == "ingresses" {
		return i.ingresses[namespace+"/"+name]
	}
	return i.services[namespace+"/"+name]
}

// Hosts returns the addresses of load balancers and NodePorts in one line, "" if
// there are none.
func Hosts(all []Address) string {
	return line(all, func(a Address) (string, bool) { return a.Text, a.Kind == LoadBalancer || a.Kind == NodePort })
}

// URLs returns the URLs of names and Ingresses in one line, "" if there are none.
func URLs(all []Address) string {
	return line(all, func(a Address) (string, bool) { return a.Text, a.Kind == Name || a.Kind == Ingress })
}

// Problems returns the problems in one line, "" if there are none.
func Problems(all []Address) string {
	return line(all, func(a Address) (string, bool) { return a.Problem, true })
}

func line(all []Address, of func(Address) (string, bool)) string {
	var parts []string
	for _, a := range all {
		if text, ok := of(a); ok && text != "" && !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}
