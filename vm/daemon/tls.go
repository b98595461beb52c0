package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/vm/cluster"
)

// pair is how the host shows one of its certificates: the one that it has when a
// connection is made, since they are renewed meanwhile.
func (c *running) pair(name string) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		files := c.keychain().files
		certificate, err := tls.X509KeyPair(files[name+".crt"], files[name+".key"])
		if err != nil {
			return nil, fmt.Errorf("load the host's certificate %s: %w", name, err)
		}
		return &certificate, nil
	}
}

// roots are one of the cluster's authorities, which never change.
func (c *running) roots(name string) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.keychain().files[name+".crt"]) {
		return nil, fmt.Errorf("load the authority %s: %w", name, errors.New("no certificate in it"))
	}
	return roots, nil
}

// nodeTLS is how the host speaks to the node API.
func (c *running) nodeTLS() (*tls.Config, error) {
	roots, err := c.roots("host-ca")
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, GetClientCertificate: c.pair("host")}, nil
}

// apiTransport speaks to API servers as the administrator.
func (c *running) apiTransport() (*http.Transport, error) {
	roots, err := c.roots("ca")
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, GetClientCertificate: c.pair("admin")},
		ForceAttemptHTTP2: true,
		IdleConnTimeout:   time.Minute,
	}, nil
}

// apiClient asks single control planes, past the load balancer.
func (c *running) apiClient() (*http.Client, error) {
	transport, err := c.apiTransport()
	if err != nil {
		return nil, err
	}
	transport.DialContext = c.dial
	return &http.Client{Transport: transport}, nil
}

// apiConfig leads to the API by way of the host's load balancer.
func (c *running) apiConfig() (*rest.Config, error) {
	transport, err := c.apiTransport()
	if err != nil {
		return nil, err
	}
	return &rest.Config{Host: cluster.Server(c.spec().APIPort), Transport: transport}, nil
}
