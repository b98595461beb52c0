package kubelet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap"

	"github.com/skiff-dev/skiff/nodeagent/client"
)

// joinPoll is how often a node that waits for its cluster looks for it. The
// kubelet's own waiting doubles up to half a minute, which a cluster that
// starts in seconds would notice.
const joinPoll = 250 * time.Millisecond

// join returns once the kubelet has a client certificate and the API server
// answers it. Without a certificate it asks for one with the bootstrap token
// (https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/).
func (k Kubelet) join(ctx context.Context) error {
	identity := client.Identity{CA: k.Paths.ClientCA}
	joined := k.joined(time.Now())
	if !joined {
		if k.Paths.Bootstrap == "" {
			return errors.New("the node has no certificate and its document holds no bootstrap token")
		}
		identity.Token = k.Node.BootstrapToken
	}
	slog.Info("waiting for the API server", "joined", joined)
	if err := waitForServer(ctx, identity); err != nil {
		return err
	}
	if joined {
		return nil
	}
	slog.Info("asking for the node's certificate")
	for {
		err := bootstrap.LoadClientCert(ctx, k.Paths.kubeconfig(), k.Paths.Bootstrap, k.Paths.certificates(), types.NodeName(k.Node.Name))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("join the cluster: %w", err)
		}
		slog.Warn("the node has no certificate yet", "error", err)
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// joined reports whether the kubelet has a client certificate that is valid at
// now.
func (k Kubelet) joined(now time.Time) bool {
	if _, err := os.Stat(k.Paths.kubeconfig()); err != nil {
		return false
	}
	certificate, err := readCertificate(k.currentCertificate())
	return err == nil && now.Before(certificate.NotAfter)
}

func (k Kubelet) currentCertificate() string {
	return filepath.Join(k.Paths.certificates(), "kubelet-client-current.pem")
}

// forgetForeignIdentity removes certificates that the cluster's CA did not
// sign for this node: the disk was in use by another cluster or node.
func (k Kubelet) forgetForeignIdentity() error {
	certificate, err := readCertificate(k.currentCertificate())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		authority, err := readCertificate(k.Paths.ClientCA)
		if err != nil {
			return fmt.Errorf("read the cluster's CA: %w", err)
		}
		mine := certificate.Subject.CommonName == "system:node:"+k.Node.Name
		if mine && certificate.CheckSignatureFrom(authority) == nil {
			return nil
		}
	}
	slog.Warn("forgetting a certificate that is not of this cluster and node")
	if err := os.RemoveAll(k.Paths.certificates()); err != nil {
		return fmt.Errorf("forget the kubelet's old certificates: %w", err)
	}
	if err := os.Remove(k.Paths.kubeconfig()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget the kubelet's old kubeconfig: %w", err)
	}
	return nil
}

// readCertificate returns the first certificate of a PEM file.
func readCertificate(path string) (*x509.Certificate, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("%s holds no certificate", path)
}

// waitForServer returns when the API server answers the identity's token, or
// anything at all if it has none.
func waitForServer(ctx context.Context, identity client.Identity) error {
	authority, err := os.ReadFile(identity.CA)
	if err != nil {
		return fmt.Errorf("read the cluster's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("%s holds no certificate", identity.CA)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	last := ""
	for {
		err := probe(ctx, web, identity.Token)
		if err == nil {
			return nil
		}
		if message := reason(err); message != last {
			slog.Info("the API server does not answer yet", "error", message)
			last = message
		}
		if err := sleep(ctx, joinPoll); err != nil {
			return err
		}
	}
}

// reason is an error without what differs from one attempt to the next, such
// as a local port.
func reason(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

func probe(ctx context.Context, web *http.Client, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, client.Server+"/readyz", nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := web.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 256))
	// An anonymous request may be refused by a server that is well; a token
	// that is refused is not known yet.
	wellRefused := token == "" && (response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden)
	if response.StatusCode == http.StatusOK || wellRefused {
		return nil
	}
	return fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(body))
}

func sleep(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}

// resolvConf names the resolvers in the form of resolv.conf(5).
func resolvConf(nameservers []netip.Addr) string {
	var b strings.Builder
	for _, server := range nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	return b.String()
}
