package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	etcdtransport "go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/rafthttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"google.golang.org/grpc"

	"github.com/skiff-dev/skiff/controlplane/pki"
)

// peerReadTimeout bounds a request of another member, as upstream does.
const peerReadTimeout = 5 * time.Minute

// listeners serve a member to others over mutual TLS. Upstream's own listeners read their
// authorities only once, these read all files for every connection.
type listeners struct {
	clients *grpc.Server
	peers   *http.Server
	opened  []net.Listener
}

// listen opens the ports of a member. The caller calls serve or close.
func (s Settings) listen() (*listeners, error) {
	l := &listeners{}
	for _, port := range []int{s.clientPort(), s.peerPort()} {
		at := net.JoinHostPort(s.Address.String(), strconv.Itoa(port))
		options := []etcdtransport.ListenerOption{}
		if port == s.peerPort() {
			options = append(options, etcdtransport.WithTimeout(rafthttp.ConnReadTimeout, rafthttp.ConnWriteTimeout))
		}
		opened, err := etcdtransport.NewListenerWithOpts(at, "http", options...)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen for other etcd members: %w", err), l.closeListeners())
		}
		l.opened = append(l.opened, opened)
	}
	return l, nil
}

// serve serves a member. failed is called with an error that ends one of the ports.
func (l *listeners) serve(s Settings, running *embed.Etcd, failed func(error)) {
	log := slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // errors of clients
	l.clients = v3rpc.Server(running.Server, s.serverTLS("server", false, "h2"), nil)
	l.peers = &http.Server{
		Handler: etcdhttp.NewPeerHandler(running.GetLogger(), running.Server), ReadTimeout: peerReadTimeout, ErrorLog: log,
	}
	go func() {
		if err := l.clients.Serve(l.opened[0]); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			failed(fmt.Errorf("serve etcd to other control planes: %w", err))
		}
	}()
	go func() {
		if err := l.peers.Serve(tls.NewListener(l.opened[1], s.serverTLS("peer", true))); err != nil && !errors.Is(err, http.ErrServerClosed) {
			failed(fmt.Errorf("serve etcd to other members: %w", err))
		}
	}()
}

// stopClients closes the port for clients.
func (l *listeners) stopClients() { l.clients.Stop() }

// peerStop bounds the end of requests of other members.
const peerStop = time.Second

// stopPeers closes the port for other members. The member needs it until it has stopped.
func (l *listeners) stopPeers() {
	ctx, cancel := context.WithTimeout(context.Background(), peerStop)
	defer cancel()
	if l.peers.Shutdown(ctx) != nil {
		_ = l.peers.Close()
	}
}

func (l *listeners) closeListeners() error {
	var failed error
	for _, opened := range l.opened {
		failed = errors.Join(failed, opened.Close())
	}
	return failed
}

// serverTLS returns the configuration of a port with the named certificate. With
// checkAddress, the certificate of a client must be for its address, as upstream
// requires of members.
func (s Settings) serverTLS(name string, checkAddress bool, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols, ClientAuth: tls.RequireAndVerifyClientCert,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			certificate, err := tls.LoadX509KeyPair(s.pem(name+".crt"), s.pem(name+".key"))
			if err != nil {
				return nil, err
			}
			authorities, err := os.ReadFile(s.pem("ca.crt"))
			if err != nil {
				return nil, err
			}
			config := &tls.Config{
				MinVersion: tls.VersionTLS13, NextProtos: protocols, Certificates: []tls.Certificate{certificate},
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), SessionTicketsDisabled: true,
			}
			if !config.ClientCAs.AppendCertsFromPEM(authorities) {
				return nil, errors.New("etcd/ca.crt holds no certificate")
			}
			if checkAddress {
				config.VerifyConnection = isFrom(hello.Conn.RemoteAddr())
			}
			return config, nil
		},
	}
}

// isFrom returns a check that the client's certificate is for its address.
func isFrom(address net.Addr) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		host, _, err := net.SplitHostPort(address.String())
		if err != nil {
			return err
		}
		return state.PeerCertificates[0].VerifyHostname(host)
	}
}

func (s Settings) pem(name string) string { return filepath.Join(s.PKIDir, "etcd", name) }

// peerAuthorities returns the sum (pki.BundleSum) of the authorities that a member that
// starts now trusts for its connections to others. Upstream reads them only then.
func (s Settings) peerAuthorities() (string, error) {
	content, err := os.ReadFile(s.pem("ca.crt"))
	if err != nil {
		return "", fmt.Errorf("read etcd's authorities: %w", err)
	}
	return pki.BundleSum(content), nil
}
