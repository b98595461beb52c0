package kubelet

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/client"
)

// join returns once the kubelet has a client certificate and the API server
// answers it. Without a certificate it asks for one with the bootstrap token
// (https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/).
func (k Kubelet) join(ctx context.Context) error {
	identity := client.Identity{CA: k.Paths.ClientCA, Token: k.Node.BootstrapToken}
	joined := k.joined(time.Now())
	switch {
	case joined:
		identity = client.Identity{CA: k.Paths.ClientCA, Certificate: k.currentCertificate(), Key: k.currentCertificate()}
	case k.Paths.Bootstrap == "":
		return errors.New("the node has no certificate and its document holds no bootstrap token")
	}
	if err := identity.Wait(ctx, client.PathReady); err != nil {
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
		mine := certificate.Subject.CommonName == names.UserNodePrefix+k.Node.Name
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
