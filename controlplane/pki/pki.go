// Package pki makes a cluster's certificates and keys. Every part has an identity of
// its own, and no part has a key that it does not need. The host makes all files and
// hands each node its own.
//
// Files that kubeadm has as well have kubeadm's names
// (https://kubernetes.io/docs/setup/best-practices/certificates/).
package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/internal/names"
)

// Lifetimes of certificates. Authorities outlive a laptop; leaves are replaced at
// every start of a machine and after half of their life.
const (
	AuthorityLifetime = 20 * 365 * 24 * time.Hour
	LeafLifetime      = 365 * 24 * time.Hour
	// Backdate allows for clock differences between guests and hosts.
	Backdate = time.Hour
)

// Node is the node that leaf certificates are made for.
type Node struct {
	// Cluster and Name are DNS labels.
	Cluster, Name string
	Address       netip.Addr
	// Address6 is its IPv6 address, if it has one.
	Address6 netip.Addr
	// ServiceAddress is the ClusterIP of the kubernetes service and Domain the
	// cluster's DNS domain. Only control planes need them.
	ServiceAddress netip.Addr
	Domain         string
	// APIServerNames are further DNS names and addresses of the API server. Only
	// control planes need them.
	APIServerNames []string
}

// Authorities makes the certificate authorities and shared keys of a new
// cluster: ca, front-proxy-ca, etcd/ca, host-ca and cloud-ca (.crt and .key),
// sa.key and sa.pub, and KeyringFile with one key.
func Authorities(now time.Time) (Files, error) {
	files := Files{}
	for path, name := range map[string]string{
		"ca": "skiff", "front-proxy-ca": "skiff-front-proxy", "etcd/ca": "skiff-etcd", "host-ca": "skiff-host",
	} {
		if err := files.makeAuthority(path, name, now); err != nil {
			return nil, fmt.Errorf("make authority %s: %w", path, err)
		}
	}
	if err := files.makeServiceAccountKey(); err != nil {
		return nil, fmt.Errorf("make service account key: %w", err)
	}
	added, err := AddedAuthorities(files, now)
	if err != nil {
		return nil, err
	}
	files = Merge(files, added)
	return files, files.makeKeyring()
}

// AddedAuthorities makes the authorities that clusters made by earlier releases lack:
// cloud-ca. It returns no files if the authorities are complete.
func AddedAuthorities(authorities Files, now time.Time) (Files, error) {
	const path = "cloud-ca"
	if _, err := tls.X509KeyPair(authorities[path+".crt"], authorities[path+".key"]); err == nil {
		return nil, nil
	}
	files := Files{}
	if err := files.makeAuthority(path, "skiff-cloud", now); err != nil {
		return nil, fmt.Errorf("make authority %s: %w", path, err)
	}
	return files, nil
}

// Worker makes the files of a node of any role: ca.crt, host-ca.crt, and
// node-api, kubelet, kubelet-server, proxy, network, dns and volumes (.crt and .key).
// The subjects of all but proxy name the node, so that their rights can be limited to
// it. During a rotation, files of authorities have several certificates.
func Worker(authorities Files, node Node, now time.Time) (Files, error) {
	files := Files{}
	if err := files.trust(authorities, "ca", "host-ca"); err != nil {
		return nil, err
	}
	return files, files.makeLeaves(authorities, now, []leaf{
		{path: "node-api", authority: "host-ca", name: node.Name, server: true, dns: []string{node.Name}, ips: addresses(node.Address)},
		{path: "proxy", authority: "ca", name: names.UserKubeProxy},
		{path: "kubelet", authority: "ca", name: names.UserNodePrefix + node.Name, groups: []string{names.GroupNodes}},
		{
			path: "kubelet-server", authority: "ca", name: names.UserNodePrefix + node.Name, groups: []string{names.GroupNodes},
			server: true, dns: []string{node.Name}, ips: addresses(node.Address, node.Address6),
		},
		{path: "network", authority: "ca", name: names.OfNode(names.GroupNetwork, node.Name), groups: []string{names.GroupNetwork}},
		{path: "dns", authority: "ca", name: names.OfNode(names.GroupDNS, node.Name), groups: []string{names.GroupDNS}},
		{path: "volumes", authority: "ca", name: names.OfNode(names.GroupVolumes, node.Name), groups: []string{names.GroupVolumes}},
	})
}

// SignerFile is the certificate that belongs to ca.key. Unlike ca.crt it is always a
// single one, which the signers of certificate requests need.
const SignerFile = "ca-signer.crt"

// ControlPlane makes the files of a control plane: those of Worker, SignerFile, ca.key,
// the service account keys, EncryptionFile, the leaves of the API server and etcd, and
// those with which it uses the cluster's cloud.
func ControlPlane(authorities Files, node Node, now time.Time) (Files, error) {
	files, err := Worker(authorities, node, now)
	if err != nil {
		return nil, err
	}
	if err := files.trust(authorities, "front-proxy-ca", "etcd/ca", strings.TrimSuffix(cloudapi.FileAuthority, ".crt"), ServiceAccounts); err != nil {
		return nil, err
	}
	if err := files.take(authorities, "ca.key", "sa.key"); err != nil {
		return nil, err
	}
	files[SignerFile] = authorities["ca.crt"]
	keyring, err := authorities.Keyring()
	if err != nil {
		return nil, err
	}
	files[EncryptionFile] = keyring.Configuration()
	loopback := netip.MustParseAddr("127.0.0.1")
	etcdNames := []string{"localhost", node.Name}
	etcdAddresses := addresses(loopback, node.Address)
	dns, ips := split(node.APIServerNames)
	return files, files.makeLeaves(authorities, now, []leaf{
		{
			path: "apiserver", authority: "ca", name: "kube-apiserver", server: true,
			dns: append([]string{
				"localhost", node.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc." + node.Domain,
			}, dns...),
			ips: append(addresses(loopback, node.Address, node.ServiceAddress), ips...),
		},
		{path: "apiserver-kubelet-client", authority: "ca", name: "kube-apiserver-kubelet-client", groups: []string{names.GroupKubeletClients}},
		{path: "front-proxy-client", authority: "front-proxy-ca", name: "front-proxy-client"},
		{path: "apiserver-etcd-client", authority: "etcd/ca", name: "kube-apiserver-etcd-client"},
		{path: "etcd/server", authority: "etcd/ca", name: node.Name, server: true, client: true, dns: etcdNames, ips: etcdAddresses},
		{path: strings.TrimSuffix(cloudapi.FileCertificate, ".crt"), authority: "cloud-ca", name: node.Name},
		{path: "etcd/peer", authority: "etcd/ca", name: node.Name, server: true, client: true, dns: etcdNames, ips: etcdAddresses},
	})
}

// Host makes the files that only the host has: admin (a client of the Kubernetes API
// in names.GroupClusterAdmins), ingress and metrics (names.UserIngress and
// names.UserMetrics, further clients of it), host (a client of the node API) and
// cloud-server (the cluster's cloud), with the certificates in ca.crt and host-ca.crt
// that sign now.
func Host(authorities Files, now time.Time) (Files, error) {
	files := Files{}
	if err := files.take(authorities, "ca.crt", "host-ca.crt"); err != nil {
		return nil, err
	}
	return files, files.makeLeaves(authorities, now, []leaf{
		{path: "admin", authority: "ca", name: names.UserAdmin, groups: []string{names.GroupClusterAdmins}},
		{path: "ingress", authority: "ca", name: names.UserIngress},
		{path: "metrics", authority: "ca", name: names.UserMetrics},
		{path: "host", authority: "host-ca", name: "skiff-host"},
		{path: "cloud-server", authority: "cloud-ca", name: "skiff-cloud", server: true, dns: []string{cloudapi.ServerName}},
	})
}

// Client makes a client certificate for the Kubernetes API and its key, both in PEM,
// valid for lifetime from now.
func Client(authorities Files, user string, groups []string, lifetime time.Duration, now time.Time) (certificate, key []byte, err error) {
	if user == "" || lifetime <= 0 {
		return nil, nil, fmt.Errorf("a client certificate needs a user and a positive lifetime, not %q and %s", user, lifetime)
	}
	files := Files{}
	if err := files.makeLeaf(authorities, leaf{path: "client", authority: "ca", name: user, groups: groups}, lifetime, now); err != nil {
		return nil, nil, err
	}
	return files["client.crt"], files["client.key"], nil
}

// Stale reports whether content is not a PEM certificate that can be parsed, or one
// that is Used and should be replaced.
func Stale(content []byte, now time.Time) bool {
	parsed, err := parseCertificate(content)
	return err != nil || Used(parsed, now)
}

// IssuedBy reports whether an authority has signed a PEM certificate, as far as the IDs of
// keys say.
func IssuedBy(certificate, authority []byte) bool {
	parsed, err := parseCertificate(certificate)
	signer, failed := parseCertificate(authority)
	return err == nil && failed == nil && bytes.Equal(parsed.AuthorityKeyId, signer.SubjectKeyId)
}

// Serial returns the serial number of a PEM certificate, or "" if content is none.
func Serial(content []byte) string {
	parsed, err := parseCertificate(content)
	if err != nil {
		return ""
	}
	return parsed.SerialNumber.String()
}

// Used reports whether more than half of a certificate's life is over, or it is not
// valid yet.
func Used(certificate *x509.Certificate, now time.Time) bool {
	half := certificate.NotBefore.Add(certificate.NotAfter.Sub(certificate.NotBefore) / 2)
	return now.After(half) || now.Before(certificate.NotBefore)
}

// Merge returns the files of all sets; later sets win.
func Merge(sets ...Files) Files {
	merged := Files{}
	for _, set := range sets {
		maps.Copy(merged, set)
	}
	return merged
}

func (f Files) take(from Files, paths ...string) error {
	for _, path := range paths {
		content, ok := from[path]
		if !ok {
			return fmt.Errorf("the cluster's authorities do not include %s", path)
		}
		f[path] = content
	}
	return nil
}

func (f Files) makeLeaves(authorities Files, now time.Time, leaves []leaf) error {
	for _, l := range leaves {
		if err := f.makeLeaf(authorities, l, LeafLifetime, now); err != nil {
			return fmt.Errorf("make certificate %s: %w", l.path, err)
		}
	}
	return nil
}

// split returns the DNS names and the addresses in a list of both.
func split(names []string) (dns []string, ips []net.IP) {
	for _, name := range names {
		if address, err := netip.ParseAddr(name); err == nil {
			ips = append(ips, address.AsSlice())
		} else {
			dns = append(dns, name)
		}
	}
	return dns, ips
}

func addresses(all ...netip.Addr) []net.IP {
	var ips []net.IP
	for _, a := range all {
		if a.IsValid() {
			ips = append(ips, a.AsSlice())
		}
	}
	return ips
}

func (l leaf) usages() []x509.ExtKeyUsage {
	var usages []x509.ExtKeyUsage
	if l.server {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	if l.client || !l.server {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	return usages
}
