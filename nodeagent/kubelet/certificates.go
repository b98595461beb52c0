package kubelet

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/internal/names"
)

func (k Kubelet) servingCertificate() string {
	return filepath.Join(k.Paths.certificates(), "kubelet-server-current.pem")
}

// removeForeignCertificates removes serving certificates that the cluster's CA
// did not sign for this node: the disk was in use by another cluster or node.
// Client certificates on the disk are of an earlier release, whose kubelets
// renewed theirs.
func (k Kubelet) removeForeignCertificates() error {
	clients, err := filepath.Glob(filepath.Join(k.Paths.certificates(), "kubelet-client-*"))
	if err != nil {
		return err
	}
	for _, path := range clients {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove an old client certificate: %w", err)
		}
	}
	certificate, err := readCertificate(k.servingCertificate())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		authority, err := readCertificate(k.Paths.ClientCA)
		if err != nil {
			return fmt.Errorf("read the cluster's CA: %w", err)
		}
		ours := certificate.Subject.CommonName == names.UserNodePrefix+k.Node.Name
		if ours && certificate.CheckSignatureFrom(authority) == nil {
			return nil
		}
	}
	slog.Warn("removing serving certificates of another cluster or node")
	if err := os.RemoveAll(k.Paths.certificates()); err != nil {
		return fmt.Errorf("remove the kubelet's old certificates: %w", err)
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
