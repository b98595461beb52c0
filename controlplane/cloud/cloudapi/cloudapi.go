// Package cloudapi is the API of the cloud that a cluster runs on: its machines and
// load balancers. The cluster's daemon serves it at the gateway of the machines'
// network, HTTP with JSON over mutual TLS, to control planes only. It is plain data.
package cloudapi

import (
	"fmt"
	"net/netip"
	"strings"
)

// ServerName is the name in the certificate of the daemon's endpoint. It does not
// resolve: clients connect to the gateway's address.
const ServerName = "cloud.skiff.internal"

// Files below the PKI directory of a control plane.
const (
	FileAuthority   = "cloud-ca.crt"
	FileCertificate = "cloud-client.crt"
	FileKey         = "cloud-client.key"
)

// Paths. Errors are text. Their status is 400 for a malformed request, 403 for a
// client other than the cluster's control planes, 404 for an object that does not
// exist, 409 for an address that another service has, 412 for an update of a load
// balancer that does not exist, 422 for an address outside the range of load
// balancers, and 507 if all addresses are in use.
const (
	// PathInstances: GET of PathInstances + NODE returns the Instance.
	PathInstances = "/v1/instances/"
	// PathLoadBalancers: below it is the UID of a service. GET returns the Status of
	// its load balancer. PUT of a LoadBalancer creates or changes it and returns its
	// Status; with the header "If-Match: *" it changes an existing one only. DELETE
	// removes it, and also succeeds if there is none.
	PathLoadBalancers = "/v1/loadbalancers/"
	// PathRetain: POST of a Retained removes all load balancers of other services.
	PathRetain = "/v1/retain"
)

// Instance is the machine of a node.
type Instance struct {
	Name       string `json:"name"`
	ProviderID string `json:"providerID"`
	// Type tells machines of different drivers and sizes apart: "lima-2cpu-2Gi".
	Type   string `json:"type"`
	Region string `json:"region"`
	Zone   string `json:"zone"`
	// Address is where the other machines reach it.
	Address netip.Addr `json:"address"`
	// Address6 is its IPv6 address, if the cluster has both families.
	Address6 netip.Addr `json:"address6,omitzero"`
	// Shutdown is true if the machine exists and is not running. One that is paused
	// is running.
	Shutdown bool `json:"shutdown"`
}

// LoadBalancer is the desired load balancer of a service. The cloud checks all fields
// and keeps only the address.
type LoadBalancer struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Ports     []Port `json:"ports"`
	// Nodes are the names of the nodes that take the service's traffic.
	Nodes []string `json:"nodes"`
	// Local is true if only nodes with a ready endpoint take traffic, which keeps the
	// clients' addresses (externalTrafficPolicy Local). HealthCheckPort is the node
	// port that tells which these are, 0 if there is none.
	Local           bool   `json:"local,omitempty"`
	HealthCheckPort uint16 `json:"healthCheckPort,omitempty"`
	// SourceRanges are the clients that may connect; none means all.
	SourceRanges []netip.Prefix `json:"sourceRanges,omitempty"`
	// Requested is the address that the service asks for. Previous is the one that it
	// had, which it gets again if it is free.
	Requested netip.Addr `json:"requested,omitzero"`
	Previous  netip.Addr `json:"previous,omitzero"`
}

// Port is a port of a load balancer.
type Port struct {
	Name string `json:"name,omitempty"`
	// Protocol is "TCP", "UDP" or "SCTP".
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
	// NodePort is the port on every node; 0 if the service has none.
	NodePort uint16 `json:"nodePort,omitempty"`
}

// Status is a load balancer as it is.
type Status struct {
	// Address answers pods and nodes, whose service proxies know it from the status of
	// the service.
	Address netip.Addr `json:"address"`
}

// Retained are the services that have load balancers.
type Retained struct {
	UIDs []string `json:"uids"`
}

// Scheme begins every provider ID.
const Scheme = "skiff"

// ProviderID returns the provider ID of a node.
func ProviderID(cluster, node string) string { return Scheme + "://" + cluster + "/" + node }

// Bounds of a LoadBalancer, far above what a cluster of this size has.
const (
	maxPorts  = 1000
	maxNodes  = 256
	maxRanges = 1000
	maxName   = 253
	maxUID    = 64
	// MaxRetained bounds the services of a Retained.
	MaxRetained = 10_000
	// MaxRequest bounds the body of a request, in bytes.
	MaxRequest = 1 << 20
)

// Validate returns an error if a field is invalid.
func (l LoadBalancer) Validate() error {
	if err := ValidateUID(l.UID); err != nil {
		return err
	}
	switch {
	case !isName(l.Namespace) || !isName(l.Name):
		return fmt.Errorf("invalid service %.300q", l.Namespace+"/"+l.Name)
	case len(l.Ports) == 0 || len(l.Ports) > maxPorts:
		return fmt.Errorf("%d ports: a load balancer has 1 to %d", len(l.Ports), maxPorts)
	case len(l.Nodes) > maxNodes:
		return fmt.Errorf("%d nodes: the maximum is %d", len(l.Nodes), maxNodes)
	case len(l.SourceRanges) > maxRanges:
		return fmt.Errorf("%d source ranges: the maximum is %d", len(l.SourceRanges), maxRanges)
	}
	for _, node := range l.Nodes {
		if !isName(node) {
			return fmt.Errorf("invalid node %.300q", node)
		}
	}
	for _, port := range l.Ports {
		if port.Port == 0 || port.Protocol != "TCP" && port.Protocol != "UDP" && port.Protocol != "SCTP" {
			return fmt.Errorf("invalid port %d/%.20q", port.Port, port.Protocol)
		}
		if port.Name != "" && !isName(port.Name) {
			return fmt.Errorf("invalid name of a port: %.300q", port.Name)
		}
	}
	for _, source := range l.SourceRanges {
		if !source.IsValid() {
			return fmt.Errorf("invalid source range")
		}
	}
	return nil
}

// ValidateUID returns an error if text cannot be the UID of an object.
func ValidateUID(text string) error {
	if text == "" || len(text) > maxUID || strings.ContainsFunc(text, func(r rune) bool { return !isAlphanumeric(r) && r != '-' }) {
		return fmt.Errorf("invalid UID %.100q", text)
	}
	return nil
}

// isName reports whether s can be the name of an object: lower-case letters, digits,
// hyphens and dots.
func isName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && r != '-' && r != '.' || r >= 'A' && r <= 'Z'
	})
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
