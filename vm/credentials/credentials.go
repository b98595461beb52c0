// Package credentials keeps a cluster's certificate authorities, the host's own
// certificates and the encryption keys of secrets, as they are stored in the
// cluster's directory.
package credentials

import (
	"cmp"
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
	Metrics   = "metrics" // reader of metrics
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
	if err == nil {
		files, err = files.Effective()
	}
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

// settle writes those files of authorities that are other than on disk.
func (s Set) settle(dir string) error {
	r, err := s.Rotation()
	if err != nil || r == nil {
		return err
	}
	onDisk, err := pki.ReadFiles(dir)
	if err != nil {
		return fmt.Errorf("read the cluster's certificates: %w", err)
	}
	for path, content := range s.files {
		if string(onDisk[path]) == string(content) {
			continue
		}
		if err := atomicfile.Write(filepath.Join(dir, filepath.FromSlash(path)), content, 0o600); err != nil {
			return fmt.Errorf("write the cluster's authorities: %w", err)
		}
	}
	return nil
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

// New returns the files of the credentials of a new cluster.
func New(now time.Time) (pki.Files, error) {
	authorities, err := pki.Authorities(now)
	if err != nil {
		return nil, err
	}
	host, err := pki.Host(authorities, now)
	return pki.Merge(authorities, host), err
}

// Clone returns New for a cluster that begins with the data of another. Of that one it has
// only the encryption keys, until everything is encrypted with a new one.
func Clone(ring pki.Keyring, now time.Time) (pki.Files, error) {
	files, err := New(now)
	if err != nil {
		return nil, err
	}
	if ring, err = ring.Clone(); err != nil {
		return nil, err
	}
	files[pki.KeyringFile], err = ring.Encode()
	return files, err
}

// ErrRotating reports a cluster whose authorities are being replaced.
var ErrRotating = errors.New("its authorities are being replaced")

// CloneRunning is Clone for a cluster whose machines continue with the memory of another one's,
// whose credentials are s. It begins with the authorities and keys of that cluster, and with
// the rotation that replaces all of them. The error may be ErrRotating.
func (s Set) CloneRunning(ring pki.Keyring, now time.Time) (pki.Files, error) {
	if r, err := s.Rotation(); err != nil || r != nil {
		return nil, cmp.Or(err, ErrRotating)
	}
	shared, err := s.files.Rotated()
	if err != nil {
		return nil, err
	}
	host, err := pki.Host(shared, now)
	if err != nil {
		return nil, err
	}
	rotation, err := shared.BeginRotation(pki.RotationNames(), now)
	if err != nil {
		return nil, err
	}
	rotation.Revoke = true
	files := pki.Merge(shared, host)
	if files[pki.RotationFile], err = rotation.Encode(); err != nil {
		return nil, err
	}
	if ring, err = ring.CloneRunning(); err != nil {
		return nil, err
	}
	files[pki.KeyringFile], err = ring.Encode()
	return files, err
}

// Before returns the credentials as they were before the rotation of authorities, of which
// nothing but its first phase has begun; ok is false otherwise.
func (s Set) Before() (before Set, ok bool) {
	files, ok := s.files.Before()
	return Set{files}, ok
}

// Ahead returns the credentials for users of a cluster whose nodes have those of the first
// phase of a rotation: they are still valid when it is over.
func (s Set) Ahead(now time.Time) (Set, error) {
	r, err := s.Rotation()
	if err != nil || r == nil || r.Phase != pki.PhaseTrust {
		return s, err
	}
	content, err := r.Advance(pki.PhaseIssue).Encode()
	if err != nil {
		return s, err
	}
	files, err := pki.Merge(s.files, pki.Files{pki.RotationFile: content}).Effective()
	if err != nil {
		return s, err
	}
	return Set{files}.Renewed(now)
}

func create(dir string, now time.Time) (Set, error) {
	files, err := New(now)
	if err != nil {
		return Set{}, err
	}
	if err := atomicfile.WriteTree(dir, files); err != nil {
		return Set{}, fmt.Errorf("write the cluster's certificates: %w", err)
	}
	return Set{files}, nil
}

// Stale reports whether the host's certificates must be renewed: half of their
// lifetime is over, an authority that was replaced has signed them, a crash left a
// certificate with the key of another, or an earlier release made the cluster.
func (s Set) Stale(now time.Time) bool {
	if _, err := s.Pair(CloudCA); err != nil {
		return true
	}
	issuers := map[string]string{Host: NodeCA, Cloud: CloudCA}
	for _, name := range []string{Admin, Ingress, Metrics, Host, Cloud} {
		certificate := s.files[name+".crt"]
		if pki.Stale(certificate, now) || !pki.IssuedBy(certificate, s.files[cmp.Or(issuers[name], ClusterCA)+".crt"]) {
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

// Roots returns a pool with one authority, or two of them while it is replaced.
func (s Set) Roots(authority string) (*x509.CertPool, error) {
	bundle, err := s.files.Bundle(authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("load the authority %s: it holds no certificate", authority)
	}
	return roots, nil
}

// Authorities describes the cluster's authorities and the key of service accounts.
func (s Set) Authorities() ([]pki.Authority, error) { return s.files.Describe() }

// Sum returns the sum (pki.BundleSum) of all that is trusted of an authority.
func (s Set) Sum(authority string) (string, error) {
	bundle, err := s.files.Bundle(authority)
	return pki.BundleSum(bundle), err
}

// Clients returns by which authorities the API server's clients and its proxy are verified.
func (s Set) Clients() (clients, proxies []byte, err error) {
	if clients, err = s.files.Bundle(ClusterCA); err != nil {
		return nil, nil, err
	}
	proxies, err = s.files.Bundle("front-proxy-ca")
	return clients, proxies, err
}

// TokenPrefix returns how every token of a service account begins that is signed now.
func (s Set) TokenPrefix() (string, error) {
	id, err := pki.KeyID(s.files["sa.pub"])
	return pki.TokenPrefix(id), err
}

// Leaves describes the host's certificates.
func (s Set) Leaves() []pki.Leaf { return s.files.Leaves() }

// Rotation returns the rotation of authorities in progress, nil if there is none.
func (s Set) Rotation() (*pki.Rotation, error) { return s.files.Rotation() }

// BeginRotation makes new authorities and keys. Nothing is written.
func (s Set) BeginRotation(names []string, now time.Time) (pki.Rotation, error) {
	return s.files.BeginRotation(names, now)
}

// Keyring returns the encryption keys of secrets.
func (s Set) Keyring() (pki.Keyring, error) { return s.files.Keyring() }

// Kubeconfig returns the administrator's kubeconfig.
func (s Set) Kubeconfig(spec cluster.Spec) ([]byte, error) {
	return s.kubeconfig(spec, s.files["admin.crt"], s.files["admin.key"])
}

func (s Set) kubeconfig(spec cluster.Spec, certificate, key []byte) ([]byte, error) {
	authority, err := s.files.Bundle(ClusterCA)
	if err != nil {
		return nil, err
	}
	return cluster.Kubeconfig(spec.Name, spec.APIPort, map[string][]byte{"ca.crt": authority, "admin.crt": certificate, "admin.key": key})
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
	return s.kubeconfig(spec, certificate, key)
}

// Node returns new certificates and keys for one node.
func (s Set) Node(spec cluster.Spec, n cluster.Node, now time.Time) (pki.Files, error) {
	subject := pki.Node{
		Cluster: spec.Name, Name: n.Name, Address: n.Address.Addr(), Address6: n.Address6.Addr(),
		ServiceAddress: cluster.ServiceAddress(spec.Network), Domain: spec.Network.Domain,
		APIServerNames: cluster.APIServerNames(spec),
	}
	if n.Role == nodeconfig.RoleControlPlane {
		return pki.ControlPlane(s.files, subject, now)
	}
	return pki.Worker(s.files, subject, now)
}
