// Package route decides which Service of a cluster answers an HTTP request: the one
// whose name the host is, below CLUSTER.localhost, or the one that an Ingress names.
// It does no I/O.
package route

import (
	"net"
	"strings"
)

// Domain is the domain of all names. Every resolver answers it with a loopback
// address (RFC 6761, section 6.3).
const Domain = "localhost"

// Limits of DNS names (RFC 1035, section 2.3.4).
const (
	maxHost  = 253
	maxLabel = 63
)

// Host returns the name in a Host header or a TLS server name in lower case,
// without a port or a final dot. It returns "" for anything that is not a DNS name,
// such as an IP address.
func Host(header string) string {
	host := header
	if strings.Contains(host, ":") {
		var err error
		if host, _, err = net.SplitHostPort(header); err != nil {
			return ""
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if len(host) > maxHost {
		return ""
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if !isLabel(l) {
			return ""
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return ""
	}
	return host
}

func isLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range label {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Name is a name below localhost: [PORT.]SERVICE.NAMESPACE.CLUSTER.localhost, where
// PORT is the name or the number of one of the Service's ports.
type Name struct{ Port, Service, Namespace, Cluster string }

// Parse returns the parts of a host as Host returns it. Parts that are missing on
// the left are empty. It returns false if the host is not below localhost or has too
// many labels.
func Parse(host string) (Name, bool) {
	labels, below := labelsOf(host)
	if !below || len(labels) > 4 {
		return Name{}, false
	}
	var parts [4]string
	copy(parts[4-len(labels):], labels)
	return Name{Port: parts[0], Service: parts[1], Namespace: parts[2], Cluster: parts[3]}, true
}

// ClusterOf returns the cluster to which a host below localhost would belong, "" for
// every other host.
func ClusterOf(host string) string {
	labels, below := labelsOf(host)
	if !below {
		return ""
	}
	return labels[len(labels)-1]
}

func labelsOf(host string) ([]string, bool) {
	rest, below := strings.CutSuffix(host, "."+Domain)
	if !below {
		return nil, false
	}
	return strings.Split(rest, "."), true
}

// String returns the host of a name.
func (n Name) String() string {
	var parts []string
	for _, part := range []string{n.Port, n.Service, n.Namespace, n.Cluster, Domain} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ".")
}

// covers reports whether a host of an Ingress, which may be a wildcard, matches a
// request's host. A wildcard stands for exactly one label.
func covers(pattern, host string) bool {
	return pattern == host || strings.HasPrefix(pattern, "*.") && pattern == wildcard(host)
}

// wildcard returns the only wildcard that matches a host, "" if there is none.
func wildcard(host string) string {
	_, parent, found := strings.Cut(host, ".")
	if !found {
		return ""
	}
	return "*." + parent
}
