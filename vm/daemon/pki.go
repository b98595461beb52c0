package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// keychain is the cluster's authorities and the host's own certificates, as
// they lie in the cluster's directory.
type keychain struct{ files pki.Files }

// openKeychain reads the keychain in dir, and makes it if there is none. What
// the host holds is made again when half of its life is over.
func openKeychain(dir string, now time.Time) (keychain, error) {
	files, err := readTree(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKeychain(dir, now)
	}
	if err != nil {
		return keychain{}, fmt.Errorf("read the cluster's certificates: %w", err)
	}
	if !pki.Stale(files["admin.crt"], now) && !pki.Stale(files["host.crt"], now) {
		return keychain{files}, nil
	}
	host, err := pki.Host(files, now)
	if err != nil {
		return keychain{}, fmt.Errorf("renew the host's certificates: %w", err)
	}
	for path, content := range host {
		if err := cluster.WriteFile(filepath.Join(dir, filepath.FromSlash(path)), content); err != nil {
			return keychain{}, fmt.Errorf("renew the host's certificates: %w", err)
		}
	}
	return keychain{pki.Merge(files, host)}, nil
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
	if err := writeTree(dir, files); err != nil {
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

// nodeTLS is how the host speaks to the node API.
func (k keychain) nodeTLS() (*tls.Config, error) {
	certificate, err := tls.X509KeyPair(k.files["host.crt"], k.files["host.key"])
	if err != nil {
		return nil, fmt.Errorf("load the host's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(k.files["host-ca.crt"]) {
		return nil, errors.New("load the host's authority: no certificate in it")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{certificate},
	}, nil
}

// readTree reads all files below dir, named by their slash-separated paths.
func readTree(dir string) (pki.Files, error) {
	files := pki.Files{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = content
		return err
	})
	return files, err
}

// writeTree makes dir with all files in one step: it exists whole or not at all.
func writeTree(dir string, files pki.Files) error {
	temporary := dir + ".new"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(temporary, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return os.Rename(temporary, dir)
}
