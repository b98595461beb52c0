// Package address derives the addresses at which this host reaches a cluster's
// services from what the daemon reports, and answers the actions on them.
package address

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Kind is what an address belongs to.
type Kind string

// The kinds. The addresses of load balancers and NodePorts, and names, belong to
// Services.
const (
	LoadBalancer Kind = "load balancer"
	NodePort     Kind = "NodePort"
	Name         Kind = "name"
	Ingress      Kind = "Ingress"
	HTTPRoute    Kind = "HTTPRoute"
	Port         Kind = "port"
)

// Address is one address of this host, or the reason why there is none.
type Address struct {
	Kind Kind
	// Namespace and Name are those of the Service, Ingress or HTTPRoute; for a port, Name is
	// its target.
	Namespace, Name string
	// Port is "80/TCP", or empty if it is part of a URL.
	Port string
	// Text is what users copy: a URL or ADDRESS:PORT; empty if the host does not
	// answer.
	Text string
	// URL is what a browser opens, or empty.
	URL     string
	Problem string
}

// List returns all addresses: those of load balancers and NodePorts, of Ingresses
// and HTTPRoutes, of ports that the user opened, and the names of Services.
func List(all daemonapi.Services) []Address {
	var list []Address
	for _, s := range all.Services {
		for _, p := range s.Ports {
			if all.Tunnel != "" { // this host reaches the cluster's own addresses
				p.Host = slices.Clone(p.Host)
				for _, external := range s.External {
					p.Host = append(p.Host, net.JoinHostPort(external, strconv.Itoa(p.Port)))
				}
			}
			list = append(list, ofPort(s, p)...)
		}
	}
	list = append(list, ofIngresses(Ingress, all.Ingresses)...)
	list = append(list, ofIngresses(HTTPRoute, all.HTTPRoutes)...)
	for _, p := range all.Ports {
		list = append(list, Address{Kind: Port, Name: p.Target, Port: p.Protocol, Text: p.Host, URL: web(p.Protocol, p.Host), Problem: p.Problem})
	}
	for _, n := range all.Names {
		list = append(list, Address{Kind: Name, Namespace: n.Namespace, Name: n.Name, Text: n.URL, URL: n.URL})
	}
	return list
}

func ofIngresses(kind Kind, all []daemonapi.Ingress) []Address {
	var list []Address
	for _, i := range all {
		for _, url := range i.URLs {
			a := Address{Kind: kind, Namespace: i.Namespace, Name: i.Name, Text: url, Problem: i.Message}
			if !strings.Contains(url, "//*.") {
				a.URL = url
			}
			list = append(list, a)
		}
	}
	return list
}

func ofPort(s daemonapi.Service, p daemonapi.ServicePort) []Address {
	one := Address{Kind: NodePort, Namespace: s.Namespace, Name: s.Name, Port: fmt.Sprintf("%d/%s", p.Port, p.Protocol), Problem: p.Problem}
	if s.Type == "LoadBalancer" {
		one.Kind = LoadBalancer
	}
	if s.Message != "" {
		one.Problem = s.Message
	}
	if len(p.Host) == 0 {
		return []Address{one}
	}
	var list []Address
	for _, host := range p.Host {
		one.Text, one.URL = host, web(p.Protocol, host)
		list = append(list, one)
		one.Problem = "" // once is enough
	}
	return list
}

// web returns the URL of a TCP address.
func web(protocol, host string) string {
	if protocol != "TCP" || host == "" {
		return ""
	}
	return "http://" + host
}

// Act answers an action on the addresses of one object, which of describes. It
// returns nil for other actions.
func Act(a keys.Action, of string, all []Address) []screen.Request {
	switch a {
	case keys.Browse:
		urls := browsable(all)
		if len(urls) == 0 {
			return screen.Failure("no address that a browser can open: " + of)
		}
		return choose("Open in browser: "+of, urls, func(url string) screen.Request { return screen.Browse{URL: url} })
	case keys.CopyAddress:
		var texts []string
		for _, one := range all {
			if one.Text != "" {
				texts = append(texts, one.Text)
			}
		}
		if len(texts) == 0 {
			return screen.Failure("no address on this host: " + of)
		}
		return choose("Copy address: "+of, texts, func(text string) screen.Request { return screen.CopyText{What: text, Text: text} })
	}
	return nil
}

// browsable returns the URLs for a browser. Where there is a name, it is better than
// a number.
func browsable(all []Address) []string {
	var names, numbers []string
	for _, one := range all {
		switch {
		case one.URL == "":
		case one.Kind == Name || one.Kind == Ingress || one.Kind == HTTPRoute:
			names = append(names, one.URL)
		default:
			numbers = append(numbers, one.URL)
		}
	}
	if len(names) > 0 {
		return names
	}
	return numbers
}

// choose asks for one of several values.
func choose(title string, values []string, then func(string) screen.Request) []screen.Request {
	if len(values) == 1 {
		return []screen.Request{then(values[0])}
	}
	form := widget.NewForm(title, []widget.Field{{Name: "address", Label: "Address", Value: values[0], Choices: values, Hint: format.ChooseHint}})
	return []screen.Request{screen.Fill{Form: form, Then: func(chosen map[string]string) []screen.Request {
		return []screen.Request{then(chosen["address"])}
	}}}
}
