package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// The files that complete a release.
const (
	installName   = "install.sh"
	checksumsName = "checksums.txt"
	signatureName = checksumsName + ".sig"
	publicName    = "skiff.pub"
)

// The signing key is PEM text in one variable, or in the file that the other names.
const (
	keyVariable     = "SKIFF_SIGNING_KEY"
	keyFileVariable = "SKIFF_SIGNING_KEY_FILE"
)

//go:embed install.sh
var installer string

// signer completes a release: it signs the checksums of all files with ECDSA on the
// curve P-256 over SHA-256, which "openssl dgst" of every OpenSSL and LibreSSL in use
// verifies.
type signer struct {
	version, out string
	// snapshot signs with a new key that is not kept.
	snapshot    bool
	environment func(string) string
	log         io.Writer
}

func (s signer) run() error {
	key, err := s.key()
	if err != nil {
		return err
	}
	public, err := publicPEM(key)
	if err != nil {
		return err
	}
	if err := s.write(publicName, public, 0o644); err != nil {
		return err
	}
	if err := s.write(installName, renderInstaller(installer, s.version, public), 0o755); err != nil {
		return err
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	sums, err := checksums(s.out, names)
	if err != nil {
		return err
	}
	signature, err := sign(key, sums)
	if err != nil {
		return err
	}
	if err := s.write(checksumsName, sums, 0o644); err != nil {
		return err
	}
	return s.write(signatureName, signature, 0o644)
}

func (s signer) write(name string, content []byte, mode os.FileMode) error {
	file := filepath.Join(s.out, name)
	if err := atomicfile.Write(file, content, mode); err != nil {
		return err
	}
	fmt.Fprintln(s.log, file)
	return nil
}

// names returns the files of this version, and install.sh. Any other file in the
// directory is an error, because the whole directory is published.
func (s signer) names() ([]string, error) {
	entries, err := os.ReadDir(s.out)
	if err != nil {
		return nil, err
	}
	ours := "skiff_" + s.version + "_"
	var names []string
	archives := 0
	for _, e := range entries {
		switch name := e.Name(); {
		case slices.Contains([]string{checksumsName, signatureName, publicName}, name):
		case name == installName, strings.HasPrefix(name, ours) && e.Type().IsRegular():
			names = append(names, name)
			if strings.HasSuffix(name, ".tar.gz") {
				archives++
			}
		default:
			return nil, fmt.Errorf("%s is not part of version %s: remove it", filepath.Join(s.out, name), s.version)
		}
	}
	if archives == 0 {
		return nil, fmt.Errorf("%s has no archive of version %s", s.out, s.version)
	}
	return names, nil
}

// key returns the key to sign with.
func (s signer) key() (*ecdsa.PrivateKey, error) {
	if s.snapshot {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	text := []byte(s.environment(keyVariable))
	from := keyVariable
	if file := s.environment(keyFileVariable); len(text) == 0 && file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the signing key: %w", err)
		}
		text, from = content, file
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("no signing key: set %s to the file of an ECDSA key on the curve P-256, or use SNAPSHOT=1 for a release that is not published", keyFileVariable)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("signing key in %s: %w", from, err)
	}
	return key, nil
}

// parseKey reads an unencrypted private key in PEM: PKCS #8 or SEC 1, as OpenSSL
// writes them.
func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("no private key in PEM format")
		}
		var key any
		var err error
		switch block.Type {
		case "EC PARAMETERS":
			text = rest
			continue
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			return nil, fmt.Errorf("unsupported %q: use an unencrypted PRIVATE KEY", block.Type)
		}
		if err != nil {
			return nil, err
		}
		if ec, ok := key.(*ecdsa.PrivateKey); ok && ec.Curve == elliptic.P256() {
			return ec, nil
		}
		return nil, errors.New("not an ECDSA key on the curve P-256")
	}
}

func publicPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// sign returns the signature of content in base64, in one line.
func sign(key *ecdsa.PrivateKey, content []byte) ([]byte, error) {
	digest := sha256.Sum256(content)
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(der) + "\n"), nil
}

// checksums lists the SHA-256 sums of files as sha256sum does.
func checksums(dir string, names []string) ([]byte, error) {
	var out strings.Builder
	for _, name := range names {
		digest, err := digestOf(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%s  %s\n", digest, name)
	}
	return []byte(out.String()), nil
}

func digestOf(path string) (digest string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// renderInstaller puts the version and the public key into install.sh.
func renderInstaller(script, version string, public []byte) []byte {
	return []byte(strings.NewReplacer(
		"@VERSION@", version, "@PUBLIC_KEY@", strings.TrimSpace(string(public)),
	).Replace(script))
}
