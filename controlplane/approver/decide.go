package approver

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/controlplane/inventory"
	"github.com/skiff-dev/skiff/internal/names"
)

const (
	pemType = "CERTIFICATE REQUEST"
	// maxNames is the maximum number of names and addresses in a certificate.
	maxNames = 16
)

// Verdict is the outcome for a request.
type Verdict string

// The verdicts.
const (
	// Approve means that everything requested is the node's own.
	Approve Verdict = "approve"
	// Deny means that the request can never be approved.
	Deny Verdict = "deny"
	// Wait means that too little is known about the node yet.
	Wait Verdict = "wait"
)

// Decision is a verdict and the reason for it, shown to users.
type Decision struct {
	Verdict Verdict
	Reason  string
}

// NodeName returns the node that made a request; ok is false if none did.
func NodeName(r certificatesv1.CertificateSigningRequestSpec) (name string, ok bool) {
	name, ok = strings.CutPrefix(r.Username, names.UserNodePrefix)
	return name, ok && name != "" && slices.Contains(r.Groups, names.GroupNodes)
}

// Decide decides a kubelet's request for a serving certificate, which must be for
// its own node, for names and addresses of that node, and for serving only. node
// is nil if the API has no node of that name yet.
func Decide(r certificatesv1.CertificateSigningRequestSpec, node *corev1.Node, machines inventory.Inventory) Decision {
	if r.SignerName != certificatesv1.KubeletServingSignerName {
		return Decision{Wait, "the request is for another signer"}
	}
	name, ok := NodeName(r)
	if !ok {
		return deny("requester %q is not a node", r.Username)
	}
	request, err := parse(r.Request)
	if err != nil {
		return deny("%v", err)
	}
	if d := checkForm(request, r); d.Verdict != Approve {
		return d
	}
	if node == nil {
		return Decision{Wait, fmt.Sprintf("node %q is not registered yet", name)}
	}
	return checkNames(request, name, node, machines)
}

func deny(format string, arguments ...any) Decision {
	return Decision{Deny, fmt.Sprintf(format, arguments...)}
}

func parse(encoded []byte) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(encoded)
	if block == nil || block.Type != pemType || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("the request must be a single PEM block of type %s", pemType)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse the request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("verify the request's signature: %w", err)
	}
	return request, nil
}

// checkForm checks what the signer requires of every kubelet serving certificate:
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
func checkForm(request *x509.CertificateRequest, r certificatesv1.CertificateSigningRequestSpec) Decision {
	subject := request.Subject
	switch {
	case subject.CommonName != r.Username:
		return deny("common name is %q, not the requester %q", subject.CommonName, r.Username)
	case !slices.Equal(subject.Organization, []string{names.GroupNodes}):
		return deny("organization is %q, not %q", subject.Organization, names.GroupNodes)
	case len(request.EmailAddresses) > 0 || len(request.URIs) > 0:
		return deny("e-mail addresses and URIs are not allowed")
	case len(request.DNSNames)+len(request.IPAddresses) == 0:
		return deny("no DNS name or IP address requested")
	case len(request.DNSNames)+len(request.IPAddresses) > maxNames:
		return deny("more than %d names and addresses requested", maxNames)
	}
	serving := false
	for _, usage := range r.Usages {
		switch usage {
		case certificatesv1.UsageServerAuth:
			serving = true
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment:
		default:
			return deny("usage %q is not allowed", usage)
		}
	}
	if !serving {
		return deny("usage %q is missing", certificatesv1.UsageServerAuth)
	}
	return Decision{Verdict: Approve}
}

// checkNames compares the requested names and addresses with the host's data and
// with the node's own status. A node may lie in its status, so the status alone
// counts only for addresses that no other machine has.
func checkNames(request *x509.CertificateRequest, name string, node *corev1.Node, machines inventory.Inventory) Decision {
	for _, dns := range request.DNSNames {
		if dns != name {
			return deny("name %q is not that of the node", dns)
		}
	}
	for _, ip := range request.IPAddresses {
		address, ok := netip.AddrFromSlice(ip)
		if !ok {
			return deny("invalid address %q", ip)
		}
		if d := checkAddress(address.Unmap(), name, node, machines); d.Verdict != Approve {
			return d
		}
	}
	return Decision{Approve, fmt.Sprintf("all names and addresses are those of node %q", name)}
}

func checkAddress(address netip.Addr, name string, node *corev1.Node, machines inventory.Inventory) Decision {
	known, err := machines.Check(name, address)
	switch {
	case err != nil:
		return deny("%v", err)
	case known:
		return Decision{Verdict: Approve}
	}
	for _, a := range node.Status.Addresses {
		if reported, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP && reported == address {
			return Decision{Verdict: Approve}
		}
	}
	return Decision{Wait, fmt.Sprintf("node %q does not have address %s yet", name, address)}
}
