package cabundle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

// certificate returns a certificate in PEM.
func certificate(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der}))
}

func TestCheckAcceptsOnlyCompleteCertificates(t *testing.T) {
	good := certificate(t)
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	broken := string(pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: []byte("x")}))
	for name, test := range map[string]struct{ content, want string }{
		"one":        {good, ""},
		"several":    {"# the first\n" + good + "\n# the second\n" + certificate(t), ""},
		"empty":      {"", "no certificate"},
		"text":       {"hello", "no certificate"},
		"a key":      {good + key, `"PRIVATE KEY"`},
		"not X.509":  {good + broken, "certificate 2: "},
		"cut off":    {good + good[:len(good)/2], "incomplete"},
		"too large":  {strings.Repeat(good, MaxBytes/len(good)+1), "larger than 512 KiB"},
		"just large": {good + strings.Repeat("\n", MaxBytes-len(good)), ""},
	} {
		err := Check([]byte(test.content))
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(certificate(f)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if Check(content) == nil && !x509.NewCertPool().AppendCertsFromPEM(content) {
			t.Errorf("accepted %q, which has no certificate", content)
		}
	})
}
