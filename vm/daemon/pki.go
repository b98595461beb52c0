package daemon

import (
	"crypto/tls"
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

// keychain is the cluster's authorities and the host's own certificates, as
// they lie in the cluster's directory.
type keychain struct{ files pki.Files }

// openKeychain reads the keychain in dir, or creates it if there is none. It
// replaces the host's own certificates once half of their life is over. The
// caller holds the cluster's lock.
func openKeychain(dir string, now time.Time) (keychain, error) {
	k, renewed, err := loadKeychain(dir, now)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKeychain(dir, now)
	}
	if err != nil {
		return keychain{}, err
	}
	for path, content := range renewed {
		if err := atomicfile.Write(filepath.Join(dir, filepath.FromSlash(path)), content, 0o600); err != nil {
			return keychain{}, fmt.Errorf("renew the host's certificates: %w", err)
		}
	}
	return k, nil
}

// loadKeychain reads the keychain in dir and changes nothing there. If the
// host's own certificates have to be replaced, the keychain has new ones, which
// are also returned as renewed. The error is fs.ErrNotExist if there is none.
func loadKeychain(dir string, now time.Time) (k keychain, renewed pki.Files, err error) {
	files, err := pki.ReadFiles(dir)
	if err != nil {
		return keychain{}, nil, fmt.Errorf("read the cluster's certificates: %w", err)
	}
	k = keychain{files}
	if !k.stale(now) {
		return k, nil, nil
	}
	renewed, err = pki.Host(files, now)
	if err != nil {
		return keychain{}, nil, fmt.Errorf("renew the host's certificates: %w", err)
	}
	return keychain{pki.Merge(files, renewed)}, renewed, nil
}

// stale says that the host's own certificates are to be made again: half of
// their life is over, or two processes that did so at once left one's
// certificate with the other's key.
func (k keychain) stale(now time.Time) bool {
	for _, name := range []string{"admin", "host"} {
		if pki.Stale(k.files[name+".crt"], now) {
			return true
		}
		if _, err := tls.X509KeyPair(k.files[name+".crt"], k.files[name+".key"]); err != nil {
			return true
		}
	}
	return false
}

// withKeyring is the keychain with other keys of secrets at rest, which it
// writes into dir first.
func (k keychain) withKeyring(dir string, ring pki.Keyring) (keychain, error) {
	content, err := ring.Encode()
	if err != nil {
		return keychain{}, err
	}
	if err := atomicfile.Write(filepath.Join(dir, pki.KeyringFile), content, 0o600); err != nil {
		return keychain{}, fmt.Errorf("write the keys of secrets at rest: %w", err)
	}
	return keychain{pki.Merge(k.files, pki.Files{pki.KeyringFile: content})}, nil
}

func makeKeychain(dir string, now time.Time) (keychain, error) {
	authorities, err := pki.Authorities(now)
	if err != nil {
		return keychain{}, err
	}
	host, err := pki.Host(authorities, now)
	if err != nil {
		return keychain{}, err
	}
	files := pki.Merge(authorities, host)
	if err := atomicfile.WriteTree(dir, files); err != nil {
		return keychain{}, fmt.Errorf("write the cluster's certificates: %w", err)
	}
	return keychain{files}, nil
}

// node makes the certificates and keys that one node is handed.
func (k keychain) node(spec cluster.Spec, n cluster.Node, now time.Time) (pki.Files, error) {
	subject := pki.Node{
		Cluster: spec.Name, Name: n.Name, Address: n.Address.Addr(),
		ServiceAddress: cluster.ServiceAddress(spec.Network), Domain: spec.Network.Domain,
	}
	if n.Role == nodeconfig.RoleControlPlane {
		return pki.ControlPlane(k.files, subject, now)
	}
	return pki.Worker(k.files, subject, now)
}
