package api

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// maxCertificate bounds a file of certificates, in bytes.
const maxCertificate = 64 << 10

// certificates returns the node's own certificates, as the host has handed them out, and
// the checksums of the files with what the node trusts or signs with. Files that are missing
// or hold no certificate are left out.
func (s *Server) certificates() ([]nodeapi.Certificate, map[string]string) {
	files := map[string][]byte{}
	_ = filepath.WalkDir(s.PKIDir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !slices.Contains([]string{".crt", ".key", ".pub"}, filepath.Ext(at)) {
			return nil // a directory that cannot be read has none
		}
		name, err := filepath.Rel(s.PKIDir, at)
		if err != nil {
			return nil
		}
		if content, err := readStart(at, maxCertificate); err == nil {
			files[filepath.ToSlash(name)] = content
		}
		return nil
	})
	var found []nodeapi.Certificate
	sums := map[string]string{}
	for at, content := range files {
		name := strings.TrimSuffix(at, path.Ext(at))
		certificate := firstCertificate(files[name+".crt"])
		switch {
		case certificate != nil && !certificate.IsCA && path.Ext(at) == ".crt":
			found = append(found, nodeapi.Certificate{
				Name: name, Expires: certificate.NotAfter, Subject: certificate.Subject.CommonName, Issuer: hex.EncodeToString(certificate.AuthorityKeyId),
			})
		case certificate != nil && certificate.IsCA, certificate == nil && path.Ext(at) != ".crt":
			sum := sha256.Sum256(content)
			sums[at] = hex.EncodeToString(sum[:])
		}
	}
	slices.SortFunc(found, func(a, b nodeapi.Certificate) int {
		return cmp.Or(a.Expires.Compare(b.Expires), strings.Compare(a.Name, b.Name))
	})
	return found, sums
}

// firstCertificate returns the first certificate in PEM data, nil if there is none.
func firstCertificate(content []byte) *x509.Certificate {
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
