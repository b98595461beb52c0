package credentials

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
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
	if err == nil {
		err = current.settle(dir) // after a crash
	}
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

// SetRotation replaces the state of the rotation of authorities, nil for none. It is on
// disk when SetRotation returns, in one file, so that a crash leaves either state. Then
// the files of authorities are written again without the keys that nothing needs, and the
// host gets certificates of the authorities that sign now.
func (s *Store) SetRotation(r *pki.Rotation, now time.Time) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if r != nil {
		content, err := r.Encode()
		if err != nil {
			return err
		}
		if err := atomicfile.Write(filepath.Join(s.dir, pki.RotationFile), content, 0o600); err != nil {
			return fmt.Errorf("write the rotation of authorities: %w", err)
		}
	}
	current, err := Open(s.dir, now)
	if err != nil {
		return err
	}
	if err := current.settle(s.dir); err != nil {
		return err
	}
	if r == nil {
		if err := os.Remove(filepath.Join(s.dir, pki.RotationFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("end the rotation of authorities: %w", err)
		}
		if current, err = Open(s.dir, now); err != nil {
			return err
		}
	}
	s.set(current)
	return nil
}

func (s *Store) set(current Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = current
}

// ConfigFunc returns a TLS configuration for one connection.
type ConfigFunc func() (*tls.Config, error)

// ClientConfig returns a function that returns a TLS configuration that trusts an
// authority and presents the host's certificate of the given name. It is called for every
// connection, because both are replaced.
func (s *Store) ClientConfig(authority, name string) ConfigFunc {
	return func() (*tls.Config, error) {
		current := s.Current()
		roots, err := current.Roots(authority)
		if err != nil {
			return nil, err
		}
		pair, err := current.Pair(name)
		if err != nil {
			return nil, err
		}
		return &tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: roots,
			// Not Certificates: a server may not name the authority that it has just learned of.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
		}, nil
	}
}

// ServerConfig returns a TLS configuration that presents the host's certificate of the
// given name and requires a client certificate of an authority. Both are looked up for
// every connection.
func (s *Store) ServerConfig(authority, name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current := s.Current()
			clients, err := current.Roots(authority)
			if err != nil {
				return nil, err
			}
			pair, err := current.Pair(name)
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
				Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true,
			}, nil
		},
	}
}

// DialTLS returns a function that connects by dial and makes a TLS connection with the
// configuration of the moment, for http.Transport.DialTLSContext.
func (c ConfigFunc) DialTLS(dial func(ctx context.Context, network, address string) (net.Conn, error), protocols ...string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		config, err := c()
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		config.ServerName, config.NextProtos = host, protocols
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secured, nil
	}
}
