package api

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// currentSuffix is the end of the name of the file that has the kubelet's current
// certificate and its key.
const currentSuffix = "-current.pem"

// certificates are the node's own, as they lie there now: those that the host
// has handed out, and the kubelet's, which the cluster has signed. What is no
// certificate, or not there yet, is left out.
func (s *Server) certificates() []nodeapi.Certificate {
	var found []nodeapi.Certificate
	for dir, suffix := range map[string]string{s.PKIDir: ".crt", s.KubeletPKIDir: currentSuffix} {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			name, ours := strings.CutSuffix(path, suffix)
			if err != nil || entry.IsDir() || !ours {
				return nil // a directory that cannot be read has none
			}
			if certificate := readCertificate(path); certificate != nil && !certificate.IsCA {
				name = strings.TrimPrefix(name, dir+string(filepath.Separator))
				found = append(found, nodeapi.Certificate{Name: name, Expires: certificate.NotAfter})
			}
			return nil
		})
	}
	slices.SortFunc(found, func(a, b nodeapi.Certificate) int {
		return cmp.Or(a.Expires.Compare(b.Expires), strings.Compare(a.Name, b.Name))
	})
	return found
}

// maxCertificate bounds a file of a certificate and its key, in bytes.
const maxCertificate = 64 << 10

// readCertificate returns the first certificate in a PEM file, nil if there is none.
func readCertificate(path string) *x509.Certificate {
	content, err := readStart(path, maxCertificate)
	if err != nil {
		return nil
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			return certificate
		}
	}
	return nil
}
