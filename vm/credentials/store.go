package credentials

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// Store holds the current credentials of an open cluster. Its methods may be
// called concurrently.
type Store struct {
	dir string

	writing sync.Mutex // held while files change
	mu      sync.Mutex // guards current
	current Set
}

// OpenStore opens the credentials in dir as Open does.
func OpenStore(dir string, now time.Time) (*Store, error) {
	current, err := Open(dir, now)
	if err != nil {
		return nil, err
	}
	return &Store{dir: dir, current: current}, nil
}

// Current returns the credentials as they are now.
func (s *Store) Current() Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// Renew renews the host's certificates if it is time.
func (s *Store) Renew(now time.Time) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	renewed, err := Open(s.dir, now)
	if err != nil {
		return err
	}
	s.set(renewed)
	return nil
}

// SetKeyring replaces the encryption keys. They are on disk when it returns, so
// that no node is ever given a key that the host could lose.
func (s *Store) SetKeyring(ring pki.Keyring) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	content, err := ring.Encode()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(s.dir, pki.KeyringFile), content, 0o600); err != nil {
		return fmt.Errorf("write the encryption keys: %w", err)
	}
	s.set(Set{pki.Merge(s.Current().files, pki.Files{pki.KeyringFile: content})})
	return nil
}

func (s *Store) set(current Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = current
}

// ClientConfig returns a TLS configuration that trusts an authority, which never
// changes, and presents the host's certificate of the given name, which is looked
// up for every connection because it is renewed.
func (s *Store) ClientConfig(authority, name string) (*tls.Config, error) {
	roots, err := s.Current().Roots(authority)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := s.Current().Pair(name)
			if err != nil {
				return nil, err
			}
			return &pair, nil
		},
	}, nil
}

// ServerConfig returns a TLS configuration that presents the host's certificate of
// the given name, looked up for every connection, and requires a client certificate
// of an authority.
func (s *Store) ServerConfig(authority, name string) (*tls.Config, error) {
	clients, err := s.Current().Roots(authority)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := s.Current().Pair(name)
			if err != nil {
				return nil, err
			}
			return &pair, nil
		},
	}, nil
}
