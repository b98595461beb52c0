package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"sort"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/kube/feed"
)

// certificates returns the certificates that a client meets: the server's chain,
// its own and the CAs that it trusts.
func (c *Client) certificates(ctx context.Context) []feed.Certificate {
	var found []feed.Certificate
	add := func(name string, cert *x509.Certificate) {
		found = append(found, feed.Certificate{Name: name, Subject: oneLine(cert.Subject.String()), Expires: cert.NotAfter})
	}
	if config, err := rest.TLSConfigFor(c.config); err == nil && config != nil {
		host := strings.TrimPrefix(c.config.Host, "https://")
		conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", host)
		if err == nil {
			for i, cert := range conn.(*tls.Conn).ConnectionState().PeerCertificates {
				add([]string{"API server", "API server CA", "parent CA"}[min(i, 2)], cert)
			}
			_ = conn.Close()
		}
	}
	for name, content := range map[string][]byte{
		"client": dataOrFile(c.config.CertData, c.config.CertFile), "trusted CA": dataOrFile(c.config.CAData, c.config.CAFile),
	} {
		for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
				add(name, cert)
			}
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].Expires.Before(found[j].Expires) })
	return found
}

func dataOrFile(data []byte, path string) []byte {
	if len(data) > 0 || path == "" {
		return data
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return content
}
