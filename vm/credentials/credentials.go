// Package credentials keeps a cluster's certificate authorities, the host's own
// certificates and the encryption keys of secrets, as they are stored in the
// cluster's directory.
package credentials

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// Names of authorities and of the host's certificates.
const (
	ClusterCA = "ca"      // Kubernetes
	NodeCA    = "host-ca" // node API
	Admin     = "admin"   // cluster administrator
	Ingress   = "ingress" // writer of the status of Ingresses
	Host      = "host"    // client of the node API
	CloudCA   = "cloud-ca"
	Cloud     = "cloud-server" // the cluster's cloud
)

// Set is one state of the credentials. It does not change.
type Set struct{ files pki.Files }

// Read reads the credentials in dir and changes nothing. The error wraps
// fs.ErrNotExist if there are none.
func Read(dir string) (Set, error) {
	files, err := pki.ReadFiles(dir)
	if err != nil {
		return Set{}, fmt.Errorf("read the cluster's certificates: %w", err)
	}
	return Set{files}, nil
}

// Open reads the credentials in dir. It creates them if there are none, and
// renews the host's certificates once half of their lifetime is over. The caller
// holds the cluster's lock.
func Open(dir string, now time.Time) (Set, error) {
	s, err := Read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return create(dir, now)
	}
	if err != nil || !s.Stale(now) {
		return s, err
	}
	renewed, err := s.renewed(now)
	if err != nil {
		return Set{}, err
	}
	for path, content := range renewed {
		if err := atomicfile.Write(filepath.Join(dir, filepath.FromSlash(path)), content, 0o600); err != nil {
			return Set{}, fmt.Errorf("renew the host's certificates: %w", err)
		}
	}
	return Set{pki.Merge(s.files, renewed)}, nil
}

// renewed returns new certificates for the host, with the authorities that the
// cluster lacks because an earlier release made it.
func (s Set) renewed(now time.Time) (pki.Files, error) {
	added, err := pki.AddedAuthorities(s.files, now)
	if err != nil {
		return nil, fmt.Errorf("complete the cluster's authorities: %w", err)
	}
	host, err := pki.Host(pki.Merge(s.files, added), now)
	if err != nil {
		return nil, fmt.Errorf("renew the host's certificates: %w", err)
	}
	return pki.Merge(added, host), nil
}

func create(dir string, now time.Time) (Set, error) {
	authorities, err := pki.Authorities(now)
	if err != nil {
		return Set{}, err
	}
	host, err := pki.Host(authorities, now)
	if err != nil {
		return Set{}, err
	}
	files := pki.Merge(authorities, host)
	if err := atomicfile.WriteTree(dir, files); err != nil {
		return Set{}, fmt.Errorf("write the cluster's certificates: %w", err)
	}
	return Set{files}, nil
}

// Stale reports whether the host's certificates must be renewed: half of their
// lifetime is over, a crash left a certificate with the key of another, or an
// earlier release made the cluster.
func (s Set) Stale(now time.Time) bool {
	if _, err := s.Pair(CloudCA); err != nil {
		return true
	}
	for _, name := range []string{Admin, Ingress, Host, Cloud} {
		if pki.Stale(s.files[name+".crt"], now) {
			return true
		}
		if _, err := s.Pair(name); err != nil {
			return true
		}
	}
	return false
}

// Renewed returns the set with new certificates for the host, which it does not
// write.
func (s Set) Renewed(now time.Time) (Set, error) {
	renewed, err := s.renewed(now)
	if err != nil {
		return Set{}, err
	}
	return Set{pki.Merge(s.files, renewed)}, nil
}

// Pair returns one of the host's certificates with its key.
func (s Set) Pair(name string) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(s.files[name+".crt"], s.files[name+".key"])
	if err != nil {
		return pair, fmt.Errorf("load the host's certificate %s: %w", name, err)
	}
	return pair, nil
}

// Roots returns a pool with one authority.
func (s Set) Roots(authority string) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.files[authority+".crt"]) {
		return nil, fmt.Errorf("load the authority %s: it holds no certificate", authority)
	}
	return roots, nil
}

// Keyring returns the encryption keys of secrets.
func (s Set) Keyring() (pki.Keyring, error) { return s.files.Keyring() }

// Kubeconfig returns the administrator's kubeconfig.
func (s Set) Kubeconfig(spec cluster.Spec) ([]byte, error) {
	return cluster.Kubeconfig(spec.Name, spec.APIPort, s.files)
}

// User is a client of the Kubernetes API.
type User struct {
	Name   string
	Groups []string
	// Lifetime is how long the certificate is valid. It cannot be revoked.
	Lifetime time.Duration
}

// UserKubeconfig returns a kubeconfig with a new certificate for a user. RBAC
// decides what the user may do.
func (s Set) UserKubeconfig(spec cluster.Spec, u User, now time.Time) ([]byte, error) {
	certificate, key, err := pki.Client(s.files, u.Name, u.Groups, u.Lifetime, now)
	if err != nil {
		return nil, err
	}
	return cluster.Kubeconfig(spec.Name, spec.APIPort, map[string][]byte{
		"ca.crt": s.files["ca.crt"], "admin.crt": certificate, "admin.key": key,
	})
}

// Node returns new certificates and keys for one node.
func (s Set) Node(spec cluster.Spec, n cluster.Node, now time.Time) (pki.Files, error) {
	subject := pki.Node{
		Cluster: spec.Name, Name: n.Name, Address: n.Address.Addr(),
		ServiceAddress: cluster.ServiceAddress(spec.Network), Domain: spec.Network.Domain,
		APIServerNames: cluster.APIServerNames(spec),
	}
	if n.Role == nodeconfig.RoleControlPlane {
		return pki.ControlPlane(s.files, subject, now)
	}
	return pki.Worker(s.files, subject, now)
}
