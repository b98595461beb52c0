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

	"github.com/skiff-dev/skiff/internal/names"
)

const (
	pemType = "CERTIFICATE REQUEST"
	// maxNames bounds what one certificate may be valid for.
	maxNames = 16
)

// Verdict is what becomes of a request.
type Verdict string

// The verdicts.
const (
	// Approve: the request asks for what the node is.
	Approve Verdict = "approve"
	// Deny: the request can never become right.
	Deny Verdict = "deny"
	// Wait: the node is not yet known well enough.
	Wait Verdict = "wait"
)

// Decision is a verdict and its reason, for people.
type Decision struct {
	Verdict Verdict
	Reason  string
}

// Fleet is what the host says of the cluster's machines.
type Fleet struct {
	// Subnet is the one that all nodes share.
	Subnet netip.Prefix
	// Addresses are nodes' by name; a node that joined later may be missing.
	Addresses map[string]netip.Addr
}

// NodeName is the node that a request comes from; false if from none.
func NodeName(r certificatesv1.CertificateSigningRequestSpec) (string, bool) {
	name, ok := strings.CutPrefix(r.Username, names.UserNodePrefix)
	return name, ok && name != "" && slices.Contains(r.Groups, names.GroupNodes)
}

// Decide says whether the kubelet behind r may have the serving certificate
// that it asks for: one for itself, for names and addresses that its node has,
// and for serving only. node is nil while the API knows none of the name.
func Decide(r certificatesv1.CertificateSigningRequestSpec, node *corev1.Node, fleet Fleet) Decision {
	if r.SignerName != certificatesv1.KubeletServingSignerName {
		return Decision{Wait, "another signer's request"}
	}
	name, ok := NodeName(r)
	if !ok {
		return deny("requested by %q, which is no node", r.Username)
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
	return checkNames(request, name, node, fleet)
}

func deny(format string, arguments ...any) Decision {
	return Decision{Deny, fmt.Sprintf(format, arguments...)}
}

func parse(encoded []byte) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(encoded)
	if block == nil || block.Type != pemType || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("the request is not one %s in PEM", pemType)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the request's signature is wrong: %w", err)
	}
	return request, nil
}

// checkForm is what the signer demands of every kubelet's serving certificate:
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
func checkForm(request *x509.CertificateRequest, r certificatesv1.CertificateSigningRequestSpec) Decision {
	subject := request.Subject
	switch {
	case subject.CommonName != r.Username:
		return deny("common name %q is not the requester %q", subject.CommonName, r.Username)
	case !slices.Equal(subject.Organization, []string{names.GroupNodes}):
		return deny("organization %q is not %q", subject.Organization, names.GroupNodes)
	case len(request.EmailAddresses) > 0 || len(request.URIs) > 0:
		return deny("e-mail addresses or URIs are asked for")
	case len(request.DNSNames)+len(request.IPAddresses) == 0:
		return deny("no name and no address is asked for")
	case len(request.DNSNames)+len(request.IPAddresses) > maxNames:
		return deny("more than %d names and addresses are asked for", maxNames)
	}
	serving := false
	for _, usage := range r.Usages {
		switch usage {
		case certificatesv1.UsageServerAuth:
			serving = true
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment:
		default:
			return deny("usage %q is asked for", usage)
		}
	}
	if !serving {
		return deny("usage %q is not asked for", certificatesv1.UsageServerAuth)
	}
	return Decision{Verdict: Approve}
}

// checkNames holds what is asked for against what the node says of itself and
// what the host says of it. A node may lie about itself, so that its word alone
// is good only for addresses that no other machine has.
func checkNames(request *x509.CertificateRequest, name string, node *corev1.Node, fleet Fleet) Decision {
	for _, dns := range request.DNSNames {
		if dns != name {
			return deny("name %q is not the node's", dns)
		}
	}
	for _, ip := range request.IPAddresses {
		address, ok := netip.AddrFromSlice(ip)
		if !ok {
			return deny("address %q cannot be read", ip)
		}
		if d := checkAddress(address.Unmap(), name, node, fleet); d.Verdict != Approve {
			return d
		}
	}
	return Decision{Approve, fmt.Sprintf("names and addresses are those of node %q", name)}
}

func checkAddress(address netip.Addr, name string, node *corev1.Node, fleet Fleet) Decision {
	if own, known := fleet.Addresses[name]; known {
		if address != own {
			return deny("address %s is not the node's, which is at %s", address, own)
		}
		return Decision{Verdict: Approve}
	}
	for other, taken := range fleet.Addresses {
		if address == taken {
			return deny("address %s is that of %s", address, other)
		}
	}
	if !fleet.Subnet.Contains(address) {
		return deny("address %s is outside the nodes' %s", address, fleet.Subnet)
	}
	for _, a := range node.Status.Addresses {
		if known, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP && known == address {
			return Decision{Verdict: Approve}
		}
	}
	return Decision{Wait, fmt.Sprintf("node %q does not have address %s yet", name, address)}
}
